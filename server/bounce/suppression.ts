/** Addresses that a domain of ours sends nothing to, since they bounce, complained, or an administrator says so. */
import { sql, type Kysely } from 'kysely';
import { Gathered } from '#shared/base/gathered.ts';
import type { Database } from '#shared/db/schema.ts';
import { canonicalAddress, formatAddress, parseAddress } from '#shared/text/address.ts';
import { directRoute, type RecipientOutcome, type ReplyRules, type Suppression } from '#server/mail/outbound-ports.ts';
import { createReplyRules } from './reply-rules.ts';

export type SuppressionOrigin = 'bounce' | 'complaint' | 'manual';

export type SuppressionRow = {
  readonly domain: string;
  readonly address: string;
  readonly origin: SuppressionOrigin;
  readonly reason: string;
  readonly hits: number;
  readonly since: Date;
  /** Null: until it is removed. */
  readonly expiresAt: Date | null;
};

export type NewSuppression = Pick<SuppressionRow, 'domain' | 'address' | 'origin' | 'reason'>;

export interface SuppressionList extends Suppression {
  /** By domain and address, `after` exclusive; what has expired is left out. */
  list(domain: string | null, after: string | null, limit: number): Promise<readonly SuppressionRow[]>;
  /** A bounce holds for 30 days, the second of one address for a year; the others until they are removed. */
  add(entry: NewSuppression): Promise<void>;
  /** False: it was not there. */
  remove(domain: string, address: string): Promise<boolean>;
}

/** What a server that refuses for one of these says of the address itself, not of the message or of us. */
const hardCategories: ReadonlySet<string> = new Set(['no-such-user', 'mailbox-disabled']);

const firstDays = 30;
const laterDays = 365;

type LookUp = { readonly domain: string; readonly keys: readonly string[] };

/** Lanes that ask at the same time share a statement. */
const maxLookUps = 100;

export type SuppressionListOptions = {
  /** Name what a reply is about: the transport alone doesn't. */
  readonly rules?: ReplyRules;
  /** Hears of each entry that was added or renewed. */
  readonly onAdded?: (entry: NewSuppression) => void;
};

export function createSuppressionList(db: Kysely<Database>, options: SuppressionListOptions = {}): SuppressionList {
  const { rules = createReplyRules(), onAdded } = options;
  const lookUps = new Gathered(maxLookUps, async (asked: readonly LookUp[]) => {
    const found = await findEntries(db, asked);
    return asked.map(() => found);
  });
  const add = async (entry: NewSuppression): Promise<void> => {
    if (await addEntry(db, entry)) onAdded?.(entry);
  };
  return {
    async suppressed(domain, addresses) {
      const keys = new Map(addresses.map((address) => [address, addressKey(address)]));
      const found = await lookUps.add({ domain, keys: [...new Set(keys.values())] });
      const reasons = new Map<string, string>();
      for (const [address, key] of keys) {
        const reason = found.get(`${domain} ${key}`);
        if (reason !== undefined) reasons.set(address, `on the suppression list of ${domain} (${reason})`);
      }
      return reasons;
    },
    async learn(settled) {
      for (const { message, recipient, outcome } of settled) {
        // What nobody of ours sent says nothing of the domain's own addressees.
        const category = categoryOf(outcome, recipient.address, rules);
        if (message.origin !== 'submission' || category === null || !hardCategories.has(category)) continue;
        const { code, text } = outcome.facts.reply;
        const reason = `${code ?? ''} ${text}`.trim().slice(0, 300);
        await add({ domain: message.domain, address: recipient.address, origin: 'bounce', reason });
      }
    },
    add,
    async remove(domain, address) {
      const removed = await db
        .deleteFrom('suppression')
        .where('domain', '=', domain)
        .where('address', '=', addressKey(address))
        .returning('address')
        .execute();
      return removed.length > 0;
    },
    list: (domain, after, limit) => list(db, domain, after, limit),
  };
}

/** Reasons, by domain and address. */
async function findEntries(db: Kysely<Database>, asked: readonly LookUp[]): Promise<ReadonlyMap<string, string>> {
  const domains = asked.flatMap(({ domain, keys }) => keys.map(() => domain));
  const { rows } = await sql<{ readonly entry: string; readonly reason: string }>`/*suppressed*/
    select s.domain || ' ' || s.address as entry, s.origin || ': ' || s.reason as reason
      from unnest(${domains}::text[], ${asked.flatMap(({ keys }) => keys)}::text[]) a (domain, address)
      join suppression s on s.domain = a.domain and s.address = a.address
      where s.expires_at is null or s.expires_at > now()`.execute(db);
  return new Map(rows.map(({ entry, reason }) => [entry, reason]));
}

/** Of a server's refusal for good; null: it is none. */
function categoryOf(outcome: RecipientOutcome, address: string, rules: ReplyRules): string | null {
  if (outcome.kind !== 'never' || outcome.facts.reply.code === null) return null;
  if (outcome.category !== 'other') return outcome.category;
  const domain = parseAddress(address)?.domain ?? null;
  const { action, category } = rules.classify(outcome.facts, { route: directRoute, domain });
  return action === 'as-is' || action === 'never' ? category : null;
}

/** False: it was told of before. */
async function addEntry(db: Kysely<Database>, { domain, address, origin, reason }: NewSuppression): Promise<boolean> {
  const days = origin === 'bounce' ? firstDays : null;
  // A row that is told of again within the hour is the same bounce, heard twice: from the server and from its report.
  const { numAffectedRows } = await sql`/*suppress*/
    insert into suppression as s (domain, address, origin, reason, expires_at)
      values (${domain}, ${addressKey(address)}, ${origin}, ${reason}, now() + make_interval(days => ${days}::int))
    on conflict (domain, address) do update set
      hits = s.hits + 1, reason = excluded.reason, since = now(),
      origin = case when s.origin = 'bounce' then excluded.origin else s.origin end,
      expires_at = case when s.origin <> 'bounce' or excluded.origin <> 'bounce' then null
        else now() + make_interval(days => ${laterDays}::int) end
      where excluded.origin <> 'bounce' or s.since < now() - interval '1 hour'`.execute(db);
  return numAffectedRows === 1n;
}

async function list(
  db: Kysely<Database>,
  domain: string | null,
  after: string | null,
  limit: number,
): Promise<readonly SuppressionRow[]> {
  let query = db
    .selectFrom('suppression')
    .selectAll()
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', sql<Date>`now()`)]));
  if (domain !== null) query = query.where('domain', '=', domain);
  if (after !== null) query = query.where(sql<boolean>`domain || ' ' || address > ${after}`);
  const rows = await query
    .orderBy(sql`domain || ' ' || address`)
    .limit(limit)
    .execute();
  return rows.map(({ expires_at: expiresAt, ...row }) => ({ ...row, expiresAt }));
}

function addressKey(address: string): string {
  const parsed = parseAddress(address);
  return parsed === null ? address.toLowerCase() : formatAddress(canonicalAddress(parsed));
}
