/** The directory in Postgres, for RCPT and MAIL. It reads the facts; the decision is `resolveRecipient`'s. */
import { sql } from 'kysely';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { resolveRecipient } from '#shared/directory/resolve-recipient.ts';
import { canonicalAddress, formatAddress, parseAddress } from '#shared/text/address.ts';
import type { RecipientDirectory } from '#server/mail/ports.ts';
import { directoryFault } from './directory-fault.ts';
import { isSenderOf, recipientVerdict } from './directory-verdict.ts';
import { RecipientReader } from './pg-recipients.ts';

export function createPgDirectory(database: PostgresDatabase): RecipientDirectory & AsyncDisposable {
  const recipients = new RecipientReader(database);
  return {
    async resolveRecipient(text, declaredBytes) {
      const address = parseAddress(text);
      if (!address) return { kind: 'unknown' };
      const { facts, accounts } = await recipients.read(canonicalAddress(address));
      return recipientVerdict(resolveRecipient(address, facts), accounts, declaredBytes);
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
      return isSenderOf(accountId, resolveRecipient(address, facts), accounts);
    },
    [Symbol.asyncDispose]: () => recipients[Symbol.asyncDispose](),
  };
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
