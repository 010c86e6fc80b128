/** Commands that change nothing: NOOP, CHECK, LOGOUT, ID, ENABLE, NAMESPACE. */
import { readFileSync } from 'node:fs';
import { enabledResponse, idResponse, namespaceResponse } from '../grammar/response.ts';
import type { ImapSession } from '../state/session.ts';
import { ok, type Outcome } from './outcome.ts';
import type { CommandOf } from './command-of.ts';

/** RFC 3501 sections 6.1.2 and 6.4.1: changes are told after it, as the command table says. */
export function noopCommand(_session: ImapSession, { verb }: CommandOf<'NOOP' | 'CHECK'>): Promise<Outcome> {
  return Promise.resolve(ok(`${verb} completed`));
}

/** RFC 3501 section 6.1.3. */
export async function logoutCommand(session: ImapSession): Promise<Outcome> {
  await session.bye('Until later');
  return ok('LOGOUT completed');
}

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const ours = new Map([
  ['name', 'Postrider'],
  ['version', version],
]);

/** Bytes of each field of ID that are logged (RFC 2971 section 3.3 allows 1024). */
const loggedIdBytes = 100;

/** RFC 2971. What the client says of itself goes to the log and nowhere else. */
export async function idCommand(session: ImapSession, { fields }: CommandOf<'ID'>): Promise<Outcome> {
  const known = ['name', 'version', 'os', 'vendor'].flatMap((name) => {
    const value = fields?.get(name);
    return value ? [[name, value.slice(0, loggedIdBytes)] as const] : [];
  });
  if (known.length > 0) session.logger.debug({ event: 'imap.id', client: Object.fromEntries(known) }, 'client');
  await session.write(idResponse(ours));
  return ok('ID completed');
}

/** RFC 5161. None of our extensions has to be enabled, so none ever is. */
export async function enableCommand(session: ImapSession): Promise<Outcome> {
  await session.write(enabledResponse([]));
  return ok('ENABLE completed');
}

/** RFC 2342: personal mailboxes only, without a prefix. */
export async function namespaceCommand(session: ImapSession): Promise<Outcome> {
  await session.write(namespaceResponse());
  return ok('NAMESPACE completed');
}
