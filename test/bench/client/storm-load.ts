/** Everybody comes back at once, as after a restart: connect, log in, stay. */
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile } from '../statistics.ts';
import { ImapConnection } from './imap-connection.ts';
import type { Begin, Outcome, Task } from './tasks.ts';

/** Connections being made at a time: one client program stands for many machines, and its own queue must not be long. */
const connectingAtOnce = 500;
/** A client that hears "later" asks again. */
const retryMs = 1_000;

export async function loginStorm(
  { logins }: Extract<Task, { kind: 'login-storm' }>,
  begin: Begin,
): Promise<Omit<Outcome, 'cpuSeconds'>> {
  const held: ImapConnection[] = [];
  const waits: number[] = [];
  let next = 0;
  let refusals = 0;
  let bytes = 0;
  await begin();
  const startedAt = performance.now();
  const verifying: Promise<void>[] = [];
  const logIn = async (connection: ImapConnection, user: string, password: string): Promise<void> => {
    for (;;) {
      const line = await connection.send(`LOGIN ${user} "${password}"`);
      if (line.startsWith('OK')) break;
      if (!line.includes('[UNAVAILABLE]')) throw new Error(`LOGIN ${user}: ${line}`);
      refusals += 1;
      await sleep(retryMs);
    }
    waits.push(performance.now() - startedAt);
    bytes += connection.bytes;
  };
  const lane = async (): Promise<void> => {
    for (let n = next++; n < logins.length; n = next++) {
      const login = logins[n] as (typeof logins)[number];
      // Clients are many machines.
      const connection = await ImapConnection.open({ ...login, from: `127.1.${n >> 8}.${n & 255}` });
      held.push(connection);
      verifying.push(logIn(connection, login.user, login.password));
    }
  };
  await Promise.all(Array.from({ length: connectingAtOnce }, lane));
  const connectedAt = performance.now();
  await Promise.all(verifying);
  const seconds = (performance.now() - startedAt) / 1000;
  for (const connection of held) connection.close();
  waits.sort((a, b) => a - b);
  return {
    count: logins.length,
    seconds,
    bytes,
    also: {
      'all connected after s': (connectedAt - startedAt) / 1000,
      'median client in after s': percentile(waits, 50) / 1000,
      'told to come later': refusals,
    },
  };
}
