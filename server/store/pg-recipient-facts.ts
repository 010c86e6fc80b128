/** What the database knows of recipients' addresses: the queries, and their rows as facts. */
import type pg from 'pg';
import type { AccountId } from '#shared/base/ids.ts';
import { maxAliasDepth } from '#shared/directory/resolve-recipient.ts';
import type { AddressFacts, DirectoryFacts, DomainFacts } from '#shared/directory/resolve-recipient.ts';
import { formatAddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';
import type { InboundPolicy } from '#server/mail/ports.ts';
import type { RecipientAccount } from './directory-verdict.ts';

/** Everything that is known of where an address leads. */
export type RecipientFacts = {
  readonly facts: DirectoryFacts;
  readonly accounts: ReadonlyMap<AccountId, RecipientAccount>;
  /** Of the asked address's domain; null: it asks nothing. */
  readonly policy: InboundPolicy | null;
};

/** The account that an address is of, itself and without its detail, if there is one. */
export type AccountRow = {
  /** The place of the asked address in the query, from 1. */
  readonly asked: number;
  readonly domain: string;
  readonly domain_suspended: boolean;
  readonly max_message_bytes: bigint | null;
  readonly requires_inbound_tls: boolean;
  readonly account_id: AccountId;
  readonly own_local: string;
  readonly own_domain: string;
  readonly retained: boolean;
  readonly account_suspended: boolean;
  readonly quota_bytes: bigint | null;
  readonly used_bytes: bigint | null;
};

/** One domain that was asked for, with one of the addresses that match there, if any. */
export type FactRow = Omit<AccountRow, 'account_id' | 'own_local' | 'own_domain'> & {
  readonly asked_domain: string;
  readonly subaddress_delimiter: string | null;
  readonly catch_all_local: string | null;
  readonly catch_all_domain: string | null;
  readonly local_part: string | null;
  readonly members: readonly (readonly [localPart: string, domain: string])[] | null;
  readonly account_id: AccountId | null;
  readonly own_local: string | null;
  readonly own_domain: string | null;
};

/** What almost every recipient is: the address of an account, exactly. */
export function recipientAccounts(addresses: readonly MailAddress[]): pg.QueryConfig {
  return {
    name: 'recipient-accounts',
    text: `
    select asked.place::int4 as asked, domain.name as domain, domain.suspended as domain_suspended,
        domain.max_message_bytes, domain.requires_inbound_tls,
        account.id as account_id, account.local_part as own_local, own.name as own_domain,
        account.retained_at is not null as retained, account.suspended or own.suspended as account_suspended,
        account.quota_bytes, account_state.used_bytes
      from unnest($1::text[], $2::text[]) with ordinality asked (local_part, domain_name, place)
      join domain_name on domain_name.name = asked.domain_name
      join domain on domain.id = domain_name.domain_id and domain.retained_at is null
      join address on address.domain_id = domain.id and address.local_part = asked.local_part
      join account on account.id = address.account_id
      join domain own on own.id = account.domain_id
      left join account_state on account_state.account_id = account.id`,
    values: parametersOf(addresses),
  };
}

/**
 * Every address that an asked one may lead to, by exact match, without its detail, and through aliases and
 * catch-alls. A loop ends at the depth, where the decision stops following too. The catch-all is followed only
 * where neither match is, so an ordinary recipient costs a few index look-ups. ("in" instead of "= any" would be
 * taken apart into an "or", which no index serves.)
 */
export function recipientFacts(addresses: readonly MailAddress[]): pg.QueryConfig {
  return { name: 'recipient-facts', text: recipientFactsText, values: [...parametersOf(addresses), maxAliasDepth] };
}

const recipientFactsText = `
    with recursive step (asked, local_part, domain_name, depth) as (
      select asked.place::int4, asked.local_part, asked.domain_name, 0
        from unnest($1::text[], $2::text[]) with ordinality asked (local_part, domain_name, place)
      union
      select step.asked, next.local_part, next.domain_name, step.depth + 1
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
        where step.depth < $3::int
    )
    select distinct on (step.asked, step.domain_name, address.local_part)
        step.asked, step.domain_name as asked_domain, domain.name as domain, domain.subaddress_delimiter,
        domain.catch_all_local, domain.catch_all_domain, domain.suspended as domain_suspended,
        domain.max_message_bytes, domain.requires_inbound_tls, address.local_part,
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

function parametersOf(addresses: readonly MailAddress[]): unknown[] {
  return [addresses.map(({ localPart }) => localPart), addresses.map(({ domain }) => domain)];
}

/** An account's own address matches before everything else, so nothing more need be known. */
export function factsOfAccount(asked: MailAddress, row: AccountRow): RecipientFacts {
  const domain: DomainFacts = {
    name: row.domain,
    subaddressDelimiter: null,
    catchAll: null,
    suspended: row.domain_suspended,
  };
  const address: AddressFacts = row.retained ? { kind: 'retained' } : { kind: 'account', accountId: row.account_id };
  return {
    facts: {
      domain: (name) => (name === asked.domain ? domain : null),
      address: (_, localPart) => (localPart === asked.localPart ? address : null),
    },
    accounts: new Map([[row.account_id, accountOf(row)]]),
    policy: policyOf(row),
  };
}

export function collectFacts(asked: MailAddress, rows: readonly FactRow[]): RecipientFacts {
  const domains = new Map<string, DomainFacts>();
  const addresses = new Map<string, AddressFacts>();
  const accounts = new Map<AccountId, RecipientAccount>();
  for (const row of rows) {
    domains.set(row.asked_domain, domainFacts(row));
    if (row.local_part === null) continue;
    addresses.set(`${row.local_part}@${row.domain}`, addressFacts(row));
    const { account_id, own_local, own_domain } = row;
    if (account_id === null || own_local === null || own_domain === null) continue;
    accounts.set(account_id, accountOf({ ...row, account_id, own_local, own_domain }));
  }
  return {
    facts: {
      domain: (name) => domains.get(name) ?? null,
      address: (domain, localPart) => addresses.get(`${localPart}@${domain}`) ?? null,
    },
    accounts,
    policy: policyOf(rows.find(({ asked_domain }) => asked_domain === asked.domain)),
  };
}

function policyOf(
  row: Pick<AccountRow, 'max_message_bytes' | 'requires_inbound_tls'> | undefined,
): InboundPolicy | null {
  if (!row || (row.max_message_bytes === null && !row.requires_inbound_tls)) return null;
  const { max_message_bytes: most, requires_inbound_tls: requiresTls } = row;
  return { maxMessageBytes: most === null ? null : Number(most), requiresTls };
}

function accountOf(row: AccountRow): RecipientAccount {
  return {
    accountId: row.account_id,
    address: formatAddress({ localPart: row.own_local, domain: row.own_domain }),
    isSuspended: row.account_suspended,
    quotaBytes: row.quota_bytes,
    usedBytes: row.used_bytes ?? 0n,
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
