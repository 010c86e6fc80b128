/**
 * The directory in Postgres, for RCPT. One query collects whatever the address may lead to; the decision is
 * `resolveRecipient`'s.
 */
import { sql, type Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { maxAliasDepth, resolveRecipient } from '#shared/directory/resolve-recipient.ts';
import type { AddressFacts, DirectoryFacts, DomainFacts } from '#shared/directory/resolve-recipient.ts';
import { canonicalAddress, formatAddress, parseAddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';
import type { RecipientDirectory } from '#server/mail/ports.ts';
import { directoryFault } from './directory-fault.ts';
import { isSenderOf, recipientVerdict } from './directory-verdict.ts';
import type { RecipientAccount } from './directory-verdict.ts';

/** One domain that was asked for, with one of the addresses that match there, if any. */
type FactRow = {
  readonly asked_domain: string;
  readonly domain: string;
  readonly subaddress_delimiter: string | null;
  readonly catch_all_local: string | null;
  readonly catch_all_domain: string | null;
  readonly domain_suspended: boolean;
  readonly local_part: string | null;
  readonly retained: boolean;
  readonly members: readonly (readonly [localPart: string, domain: string])[] | null;
  readonly account_id: AccountId | null;
  readonly own_local: string | null;
  readonly own_domain: string | null;
  readonly account_suspended: boolean;
  readonly quota_bytes: bigint | null;
  readonly used_bytes: bigint | null;
};

type Facts = {
  readonly facts: DirectoryFacts;
  readonly accounts: ReadonlyMap<AccountId, RecipientAccount>;
};

export function createPgDirectory(db: Kysely<Database>): RecipientDirectory {
  return {
    async resolveRecipient(text, declaredBytes) {
      const address = parseAddress(text);
      if (!address) return { kind: 'unknown' };
      const { facts, accounts } = await readFacts(db, address);
      return recipientVerdict(resolveRecipient(address, facts), accounts, declaredBytes);
    },
    async findPostmaster() {
      try {
        const found = await postmasterDomain().execute(db);
        return found.rows[0] ? formatAddress({ localPart: postmaster, domain: found.rows[0].name }) : null;
      } catch (error) {
        throw directoryFault(error);
      }
    },
    async maySendAs(accountId, text) {
      const address = parseAddress(text);
      if (!address) return false;
      const { facts, accounts } = await readFacts(db, address);
      return isSenderOf(accountId, resolveRecipient(address, facts), accounts);
    },
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

async function readFacts(db: Kysely<Database>, address: MailAddress): Promise<Facts> {
  try {
    return collect((await recipientFacts(canonicalAddress(address)).execute(db)).rows);
  } catch (error) {
    throw directoryFault(error);
  }
}

/**
 * Every address that the asked one may lead to, by exact match, without its detail, and through aliases and
 * catch-alls. A loop ends at the depth, where the decision stops following too. The catch-all is followed only
 * where neither match is, so an ordinary recipient costs a few index look-ups. ("in" instead of "= any" would be
 * taken apart into an "or", which no index serves.)
 */
export function recipientFacts({ localPart, domain }: MailAddress) {
  return sql<FactRow>`/*resolve-recipient*/
    with recursive step (local_part, domain_name, depth) as (
      select ${localPart}::text, ${domain}::text, 0
      union
      select next.local_part, next.domain_name, step.depth + 1
        from step
        join domain_name on domain_name.name = step.domain_name
        join domain on domain.id = domain_name.domain_id and domain.retained_at is null
        cross join lateral (
          select member.local_part, member.domain_name
            from address join alias_member member on member.alias_id = address.alias_id
            where address.domain_id = domain.id
              and address.local_part = any (array[step.local_part, split_part(step.local_part, domain.subaddress_delimiter, 1)])
          union all
          select domain.catch_all_local, domain.catch_all_domain
            where domain.catch_all_local is not null and not exists (
              select from address where address.domain_id = domain.id
                and address.local_part = any (array[step.local_part, split_part(step.local_part, domain.subaddress_delimiter, 1)]))
        ) next
        where step.depth < ${maxAliasDepth}::int
    )
    select distinct on (step.domain_name, address.local_part)
        step.domain_name as asked_domain, domain.name as domain, domain.subaddress_delimiter,
        domain.catch_all_local, domain.catch_all_domain, domain.suspended as domain_suspended,
        address.local_part,
        coalesce(account.retained_at, alias.retained_at) is not null as retained,
        (select json_agg(json_build_array(member.local_part, member.domain_name))
          from alias_member member where member.alias_id = address.alias_id) as members,
        account.id as account_id, account.local_part as own_local, own.name as own_domain,
        coalesce(account.suspended or own.suspended, false) as account_suspended,
        account.quota_bytes, account_state.used_bytes
      from step
      join domain_name on domain_name.name = step.domain_name
      join domain on domain.id = domain_name.domain_id and domain.retained_at is null
      left join address on address.domain_id = domain.id
        and address.local_part = any (array[step.local_part, split_part(step.local_part, domain.subaddress_delimiter, 1)])
      left join alias on alias.id = address.alias_id
      left join account on account.id = address.account_id
      left join domain own on own.id = account.domain_id
      left join account_state on account_state.account_id = account.id`;
}

function collect(rows: readonly FactRow[]): Facts {
  const domains = new Map<string, DomainFacts>();
  const addresses = new Map<string, AddressFacts>();
  const accounts = new Map<AccountId, RecipientAccount>();
  for (const row of rows) {
    domains.set(row.asked_domain, domainFacts(row));
    if (row.local_part === null) continue;
    addresses.set(`${row.local_part}@${row.domain}`, addressFacts(row));
    if (row.account_id === null) continue;
    accounts.set(row.account_id, {
      accountId: row.account_id,
      address: formatAddress({ localPart: row.own_local ?? '', domain: row.own_domain ?? '' }),
      isSuspended: row.account_suspended,
      quotaBytes: row.quota_bytes,
      usedBytes: row.used_bytes ?? 0n,
    });
  }
  return {
    facts: {
      domain: (name) => domains.get(name) ?? null,
      address: (domain, localPart) => addresses.get(`${localPart}@${domain}`) ?? null,
    },
    accounts,
  };
}

function domainFacts(row: FactRow): DomainFacts {
  const { catch_all_local: localPart, catch_all_domain: domain } = row;
  return {
    name: row.domain,
    subaddressDelimiter: row.subaddress_delimiter,
    catchAll: localPart !== null && domain !== null ? { localPart, domain } : null,
    suspended: row.domain_suspended,
  };
}

function addressFacts(row: FactRow): AddressFacts {
  if (row.retained) return { kind: 'retained' };
  if (row.account_id !== null) return { kind: 'account', accountId: row.account_id };
  return { kind: 'alias', members: (row.members ?? []).map(([localPart, domain]) => ({ localPart, domain })) };
}
