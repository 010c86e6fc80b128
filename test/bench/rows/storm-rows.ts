/** All clients come back at once, and nobody's password is remembered. */
import { hashPassword, verifyPassword } from '#shared/directory/password.ts';
import { sampleOf, type Bench } from '../bench.ts';
import { ClientProcess } from '../client/client-process.ts';
import type { Task } from '../client/tasks.ts';
import { makeManyAccounts, manyAddresses } from '../servers/many-accounts.ts';
import { addressOf, loginOf, password, plainUsers, type MailServer } from '../servers/mail-server.ts';
import type { Postrider } from '../servers/postrider.ts';
import { bound } from './aim.ts';
import type { Row } from './row.ts';

/** Clients of one account: a telephone, a laptop, and what they open beside the first connection. */
const clientsOfAccount = 5;
const connectionsOf = (bench: Bench): number => bench.size(10_000, 500);
const accountsOf = (bench: Bench): number => connectionsOf(bench) / clientsOfAccount;
const prefix = 'storm';

/** One password after the other on a machine that does nothing else. */
async function secondsOfHash(): Promise<number> {
  const hash = await hashPassword(password);
  const startedAt = performance.now();
  for (let n = 0; n < 20; n++) await verifyPassword(password, hash);
  return (performance.now() - startedAt) / 20_000;
}

const made = new WeakSet<Bench>();

async function makeAccounts(bench: Bench, server: MailServer): Promise<void> {
  if (made.has(bench)) return;
  await makeManyAccounts((server as Postrider).databaseUrl, accountsOf(bench), prefix);
  made.add(bench);
}

function receiving(server: MailServer, seconds: number): Task {
  return {
    kind: 'smtp',
    port: server.smtpPort as number,
    sessions: 10,
    bytes: 4096,
    seconds,
    messagesPerConnection: 1000,
    recipients: plainUsers.slice(0, 10).map((user) => [addressOf(user)]),
  };
}

export const stormRows: readonly Row[] = [
  {
    name: 'login-storm',
    title: '10,000 clients of 2,000 accounts log in after a restart, mail coming in; time against argon2 alone',
    unit: 'x',
    better: 'less',
    aim: bound(2, { 'receiving slower by x': 2 }),
    servers: ['postrider'],
    rounds: 1,
    needsNoWarmUp: true,
    isNearOnly: true,
    prepare: makeAccounts,
    async measure(bench, server) {
      await server.restart();
      await using sender = new ClientProcess();
      const alone = await sender.run(receiving(server, bench.seconds(4, 1.5)));
      const hashSeconds = await secondsOfHash();
      const addresses = manyAddresses(accountsOf(bench), prefix);
      const { port, tls } = loginOf(server, 'user0', { tls: true });
      const logins = Array.from({ length: connectionsOf(bench) }, (_, n) => ({
        port,
        tls,
        user: addresses[n % addresses.length] as string,
        password,
      }));
      const storm = bench.timed(server, { kind: 'login-storm', logins });
      const least = accountsOf(bench) * hashSeconds;
      // Most of the storm: whoever connects is the load of its beginning, whoever waits for a hash that of the rest.
      const [timed, meanwhile] = await Promise.all([storm, sender.run(receiving(server, least))]);
      return sampleOf(timed, timed.outcome.seconds / least, {
        'seconds until all are in': timed.outcome.seconds,
        'argon2 of one, ms': hashSeconds * 1000,
        'hashes /s': accountsOf(bench) / timed.outcome.seconds,
        'received alone /s': alone.count / alone.seconds,
        'received meanwhile /s': meanwhile.count / meanwhile.seconds,
        'receiving slower by x': alone.count / alone.seconds / (meanwhile.count / meanwhile.seconds),
      });
    },
  },
];
