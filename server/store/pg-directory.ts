/** The directory in Postgres, for RCPT and MAIL. It reads the facts; the decision is `resolveRecipient`'s. */
import { sql } from 'kysely';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { resolveRecipient } from '#shared/directory/resolve-recipient.ts';
import type { AccountId } from '#shared/base/ids.ts';
import { canonicalAddress, formatAddress, parseAddress, type MailAddress } from '#shared/text/address.ts';
import type { RecipientDirectory } from '#server/mail/ports.ts';
import { directoryFault } from './directory-fault.ts';
import { isSenderOf, recipientVerdict } from './directory-verdict.ts';
import { RecipientReader } from './pg-recipients.ts';
import { credentialMaySendAs } from './pg-submission-logins.ts';

/** `keepMs`: an account that takes mail is believed to go on with it for so long. */
export function createPgDirectory(database: PostgresDatabase, keepMs = 0): RecipientDirectory & AsyncDisposable {
  const recipients = new RecipientReader(database, keepMs);
  return {
    async resolveRecipient(text, declaredBytes) {
      const address = parseAddress(text);
      if (!address) return { kind: 'unknown' };
      const { facts, accounts, policy } = await recipients.readReady(canonicalAddress(address));
      const verdict = recipientVerdict(resolveRecipient(address, facts), accounts, declaredBytes);
      return verdict.kind === 'local' && policy !== null ? { ...verdict, policy } : verdict;
    },
    expectRecipients(texts) {
      const addresses = texts.map(parseAddress).filter((address) => address !== null);
      recipients.expect(addresses.map(canonicalAddress));
    },
    async findPostmaster() {
      try {
        const found = await postmasterDomain().execute(database.db);
        return found.rows[0] ? formatAddress({ localPart: postmaster, domain: found.rows[0].name }) : null;
      } catch (error) {
        throw directoryFault(error);
      }
    },
    async maySendAs(accountId, text) {
      const address = parseAddress(text);
      if (!address) return false;
      const { facts, accounts } = await recipients.read(canonicalAddress(address));
      if (isSenderOf(accountId, resolveRecipient(address, facts), accounts)) return true;
      return isMemberThatSends(database, accountId, canonicalAddress(address));
    },
    async credentialMaySendAs(credentialId, text) {
      const address = text === null ? null : parseAddress(text);
      if (text !== null && address === null) return false;
      return credentialMaySendAs(database.db, credentialId, address && canonicalAddress(address));
    },
    [Symbol.asyncDispose]: () => recipients[Symbol.asyncDispose](),
  };
}

/** By an alias whose members may send as it, of which an address of the account is one. */
async function isMemberThatSends(
  { db }: PostgresDatabase,
  accountId: AccountId,
  { localPart, domain }: MailAddress,
): Promise<boolean> {
  try {
    const { rows } = await sql`/*alias-sender*/
      select from domain_name
        join domain on domain.id = domain_name.domain_id and domain.retained_at is null and not domain.suspended
        join address on address.domain_id = domain.id and address.local_part = ${localPart}
        join alias on alias.id = address.alias_id and alias.send_as and alias.retained_at is null
        join alias_member member on member.alias_id = alias.id
        join domain_name own_name on own_name.name = member.domain_name
        join address own on own.domain_id = own_name.domain_id and own.local_part = member.local_part
        join account on account.id = own.account_id and account.retained_at is null and not account.suspended
        join domain home on home.id = account.domain_id and home.retained_at is null and not home.suspended
        where domain_name.name = ${domain} and account.id = ${accountId}
        limit 1`.execute(db);
    return rows.length > 0;
  } catch (error) {
    throw directoryFault(error);
  }
}

const postmaster = 'postmaster';

function postmasterDomain() {
  return sql<{ readonly name: string }>`/*postmaster-domain*/
    select domain.name from domain
      left join address on address.domain_id = domain.id and address.local_part = ${postmaster}
      left join account on account.id = address.account_id
      left join alias on alias.id = address.alias_id
      where domain.retained_at is null and not domain.suspended
        and account.retained_at is null and alias.retained_at is null
        and (address.local_part is not null or domain.catch_all_local is not null)
      order by address.local_part is null, domain.id
      limit 1`;
}
