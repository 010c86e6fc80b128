/** How much an account and its domain may send, counted in Postgres for all processes together (0008-sending.sql). */
import { sql, type Kysely } from 'kysely';
import { Gathered } from '#shared/base/gathered.ts';
import type { AccountId, MailboxId } from '#shared/base/ids.ts';
import { classifyPgError } from '#shared/db/pg-error.ts';
import type { Database } from '#shared/db/schema.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { SubmissionRefusal, type LimitKind } from './submission-fault.ts';

/** Of an account without limits of its own; null: none. */
export type DefaultLimits = Readonly<Record<LimitKind, number | null>>;

type Limit = {
  readonly scope: 'account' | 'domain' | 'login';
  readonly subject: string;
  readonly kind: LimitKind;
  readonly most: number;
};

/** An account that sends. */
export type SendingAccount = {
  /** Its domain's own name. */
  readonly domain: string;
  readonly recipientsPerMessage: number | null;
  /** Where a copy of what it sends goes; null: nowhere. */
  readonly sentMailboxId: MailboxId | null;
  readonly limits: readonly Limit[];
};

export interface SendingLimits {
  /** Null: there is none any more. MailError unavailable. */
  account(accountId: AccountId): Promise<SendingAccount | null>;
  /** A MailCredential, which sends from this domain. Null: there is none any more. MailError unavailable. */
  credential(credentialId: bigint, domain: string): Promise<SendingAccount | null>;
  /**
   * Takes room for these recipients from every limit, or throws SubmissionRefusal and takes none. `accountId` null: a
   * MailCredential's, of which nobody keeps whom it has written to.
   */
  take(accountId: AccountId | null, account: SendingAccount, recipients: readonly string[]): Promise<void>;
}

type AccountRow = {
  readonly id: AccountId;
  readonly domain: string;
  readonly domain_id: bigint;
  readonly account_hour: number | null;
  readonly account_day: number | null;
  readonly account_new: number | null;
  readonly domain_hour: number | null;
  readonly domain_day: number | null;
  readonly domain_new: number | null;
  readonly recipients_per_message: number | null;
  readonly sent_mailbox_id: MailboxId | null;
};

/** Asked for in one statement. */
const maxAccounts = 100;

export function createSendingLimits(db: Kysely<Database>, defaults: DefaultLimits): SendingLimits {
  const accounts = new Gathered(maxAccounts, async (ids: readonly AccountId[]) => {
    const { rows } = await mapped(() => accountRows([...new Set(ids)]).execute(db));
    const byId = new Map(rows.map((row) => [row.id, row]));
    return ids.map((id) => byId.get(id) ?? null);
  });
  return {
    async account(accountId) {
      const row = await accounts.add(accountId);
      if (row === null) return null;
      return {
        domain: row.domain,
        recipientsPerMessage: row.recipients_per_message,
        sentMailboxId: row.sent_mailbox_id,
        limits: [...accountLimits(accountId, row, defaults), ...domainLimits(row)],
      };
    },
    async credential(credentialId, domain) {
      const { rows } = await mapped(() => credentialRow(credentialId, domain).execute(db));
      const row = rows[0];
      if (row === undefined) return null;
      const own = { hour: row.own_hour ?? defaults.hour, day: row.own_day ?? defaults.day, new: null };
      const common = { hour: row.domain_hour, day: row.domain_day, new: null };
      return {
        domain: row.domain,
        recipientsPerMessage: null,
        sentMailboxId: null,
        limits: [...limitsOf('login', credentialId, own), ...limitsOf('domain', row.domain_id, common)],
      };
    },
    async take(accountId, { limits }, recipients) {
      if (limits.length === 0 || recipients.length === 0) return;
      const { rows } = await mapped(() => takeRoom(accountId, limits, recipients).execute(db));
      const refused = rows[0];
      if (refused === undefined) return;
      const limit = limits[Number(refused.place) - 1];
      if (limit === undefined) throw new Error(`there is no limit ${refused.place}`);
      const retrySeconds = refused.seconds === null ? null : Number(refused.seconds);
      throw new SubmissionRefusal({ kind: 'limit', scope: limit.scope, limit: limit.kind, retrySeconds });
    },
  };
}

function accountLimits(accountId: AccountId, row: AccountRow, defaults: DefaultLimits): readonly Limit[] {
  const most = {
    hour: row.account_hour ?? defaults.hour,
    day: row.account_day ?? defaults.day,
    new: row.account_new ?? defaults.new,
  };
  return limitsOf('account', accountId, most);
}

function domainLimits(row: AccountRow): readonly Limit[] {
  return limitsOf('domain', row.domain_id, { hour: row.domain_hour, day: row.domain_day, new: row.domain_new });
}

const kinds: readonly LimitKind[] = ['hour', 'day', 'new'];

function limitsOf(scope: Limit['scope'], id: bigint, most: DefaultLimits): readonly Limit[] {
  return kinds.flatMap((kind) => {
    const limit = most[kind];
    return limit === null ? [] : [{ scope, subject: `${scope} ${id}`, kind, most: limit }];
  });
}

function accountRows(accountIds: readonly AccountId[]) {
  return sql<AccountRow>`/*sending-account*/
    select account.id, domain.name as domain, domain.id as domain_id,
        account.messages_per_hour as account_hour, account.messages_per_day as account_day,
        account.new_recipients_per_day as account_new,
        domain.messages_per_hour as domain_hour, domain.messages_per_day as domain_day,
        domain.new_recipients_per_day as domain_new, account.recipients_per_message,
        (select mailbox.id from mailbox where account.saves_sent and mailbox.account_id = account.id
          and mailbox.special_use = 'Sent' order by mailbox.id limit 1) as sent_mailbox_id
      from account join domain on domain.id = account.domain_id
      where account.id = any (${accountIds}::int8[]) and account.retained_at is null`;
}

type CredentialRow = {
  readonly domain: string;
  readonly domain_id: bigint;
  readonly own_hour: number | null;
  readonly own_day: number | null;
  readonly domain_hour: number | null;
  readonly domain_day: number | null;
};

function credentialRow(credentialId: bigint, domain: string) {
  return sql<CredentialRow>`/*sending-credential*/
    select domain.name as domain, domain.id as domain_id,
        credential.messages_per_hour as own_hour, credential.messages_per_day as own_day,
        domain.messages_per_hour as domain_hour, domain.messages_per_day as domain_day
      from mail_credential credential
      join domain_name on domain_name.name = ${domain}
      join domain on domain.id = domain_name.domain_id and domain.retained_at is null
      where credential.id = ${credentialId}`;
}

function takeRoom(accountId: AccountId | null, limits: readonly Limit[], recipients: readonly string[]) {
  const asked = JSON.stringify(limits.map(({ subject, kind, most }) => ({ subject, kind, most })));
  return sql<{ readonly place: bigint; readonly seconds: bigint | null }>`/*sending-take*/
    select place, seconds from sending_take(${accountId}, ${[...recipients]}::text[], ${asked}::jsonb)`;
}

async function mapped<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw classifyPgError(error).kind === 'unavailable'
      ? new MailError({ kind: 'unavailable' }, { cause: error })
      : error;
  }
}
