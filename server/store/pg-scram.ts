/** The directory in Postgres, for SCRAM: one query. */
import { sql, type Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { openScramVerifier } from '#shared/directory/credentials.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { ScramDirectory } from '#shared/directory/logins.ts';
import type { ScramMechanism } from '#shared/directory/scram.ts';
import { canonicalAddress, formatAddress, parseAddress, type MailAddress } from '#shared/text/address.ts';
import { directoryFault } from './directory-fault.ts';
import { findSubmissionScram } from './pg-submission-logins.ts';

type Credential = {
  readonly account_id: AccountId;
  readonly local_part: string;
  readonly domain: string;
  readonly suspended: boolean;
  readonly id: string;
  readonly seal_key_id: string;
  readonly sealed: Buffer;
};
/** A domain of ours, with the account, if there is one. */
type ScramRow = { readonly asked_domain: string } & (Credential | { readonly account_id: null });

export function createPgScramDirectory(db: Kysely<Database>, keyring: Keyring): ScramDirectory {
  return {
    async scramByLogin(login, mechanism) {
      const parsed = parseAddress(login);
      if (!parsed) return { verifier: null, name: login.toLowerCase() };
      const address = canonicalAddress(parsed);
      const row = await readRow(db, address, mechanism);
      if (row === null || row.account_id === null) {
        return { verifier: null, name: formatAddress({ ...address, domain: row?.asked_domain ?? address.domain }) };
      }
      return {
        accountId: row.account_id,
        address: formatAddress({ localPart: row.local_part, domain: row.domain }),
        isSuspended: row.suspended,
        credentialId: row.id,
        verifier: openScramVerifier(row, keyring, mechanism),
      };
    },
    async scramByUsername(username, mechanism) {
      try {
        return await findSubmissionScram(db, keyring, username, mechanism);
      } catch (error) {
        throw directoryFault(error);
      }
    },
  };
}

async function readRow(
  db: Kysely<Database>,
  address: MailAddress,
  mechanism: ScramMechanism,
): Promise<ScramRow | null> {
  try {
    return (await scramRow(address, mechanism).execute(db)).rows[0] ?? null;
  } catch (error) {
    throw directoryFault(error);
  }
}

function scramRow({ localPart, domain }: MailAddress, mechanism: ScramMechanism) {
  return sql<ScramRow>`/*scram-by-login*/
    select asked.name as asked_domain, found.*
      from domain_name
      join domain asked on asked.id = domain_name.domain_id and asked.retained_at is null
      left join lateral (
        select account.id as account_id, account.local_part, own.name as domain,
            account.suspended or own.suspended or asked.suspended as suspended,
            credential.id, credential.seal_key_id,
            case when ${mechanism === 'SCRAM-SHA-256'} then credential.scram_sha256 else credential.scram_sha1 end as sealed
          from address
          join account on account.id = address.account_id and account.retained_at is null
          join domain own on own.id = account.domain_id and own.retained_at is null
          join credential on credential.account_id = account.id and credential.kind = 'primary'
          where address.domain_id = asked.id and address.local_part = ${localPart}) found on true
      where domain_name.name = ${domain}`;
}
