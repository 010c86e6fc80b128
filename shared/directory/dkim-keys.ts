/** DKIM keys in the database: made and rotated here, opened by whoever signs. */
import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import type { DkimAlgorithm, DkimKeyState } from '#shared/db/sending-tables.ts';
import { transact } from '#shared/db/tx.ts';
import { planDkimKeys, type DkimAction, type DkimWishes, type ObservedDkimKey } from './dkim-plan.ts';
import type { Keyring } from './keyring.ts';

/** A record to publish: RFC 6376 section 3.6.1, RFC 8463. */
export type DkimRecord = {
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: DkimAlgorithm;
  readonly state: DkimKeyState;
  /** "selector._domainkey.domain." */
  readonly name: string;
  readonly value: string;
};

/** What was done for a domain; `records` are all that are to be published now. */
export type DkimChange = {
  readonly domain: string;
  readonly actions: readonly DkimAction[];
  readonly records: readonly DkimRecord[];
};

type MadeKey = {
  readonly action: Extract<DkimAction, { readonly do: 'make' }>;
  readonly selector: string;
  readonly publicKey: string;
  readonly privateKey: Buffer;
};

const defaultAlgorithms: readonly DkimAlgorithm[] = ['rsa2048', 'ed25519'];
const defaultOverlapSeconds = 168 * 3600;

/**
 * Brings the keys of every domain of ours to what it wishes, where nobody looks into the DNS; resolves with the domains
 * where something was done.
 */
export async function reconcileDkimKeys(db: Kysely<Database>, keyring: Keyring): Promise<readonly DkimChange[]> {
  const domains = await db.selectFrom('domain').select('id').where('retained_at', 'is', null).orderBy('id').execute();
  const changes: DkimChange[] = [];
  for (const { id } of domains) {
    const change = await reconcileDomainKeys({ db, keyring, domainId: id, publication: 'assumed' });
    if (change) changes.push(change);
  }
  return changes;
}

export type DomainKeysOptions = {
  readonly db: Kysely<Database>;
  readonly keyring: Keyring;
  readonly domainId: bigint;
  readonly publication: DkimWishes['publication'];
  /** Called at the beginning of each transaction that writes; throws where this process may not. */
  readonly fence?: (tx: Kysely<Database>) => Promise<void>;
};

/** Of one domain. Null: nothing was to be done, another process was quicker, or the domain is gone. */
export async function reconcileDomainKeys(options: DomainKeysOptions): Promise<DkimChange | null> {
  const { db, domainId } = options;
  const domain = await db
    .selectFrom('domain')
    .select(['name', 'dkim_algorithms', 'dkim_rotation_seconds', 'dkim_overlap_seconds'])
    .where('id', '=', domainId)
    .where('retained_at', 'is', null)
    .executeTakeFirst();
  if (domain === undefined) return null;
  const wishes: DkimWishes = {
    algorithms: domain.dkim_algorithms ?? defaultAlgorithms,
    rotationSeconds: domain.dkim_rotation_seconds === null ? null : Number(domain.dkim_rotation_seconds),
    overlapSeconds: Number(domain.dkim_overlap_seconds ?? defaultOverlapSeconds),
    publication: options.publication,
  };
  const keys = await readKeys(db, domainId);
  const actions = planDkimKeys(wishes, keys);
  if (actions.length === 0) return null;
  const made = await makeKeys(actions, keys);
  if (!(await apply({ ...options, actions, made, keys }))) return null;
  return { domain: domain.name, actions, records: await dkimRecords(db, domain.name) };
}

/** Notes which keys of a domain the DNS has; it is kept since when. Writes nothing where that is known already. */
export async function noteSeenKeys(
  tx: Kysely<Database>,
  domainId: bigint,
  seen: ReadonlyMap<string, boolean>,
): Promise<void> {
  const selectors = (isSeen: boolean): readonly string[] =>
    [...seen].flatMap(([selector, is]) => (is === isSeen ? [selector] : []));
  const update = (isSeen: boolean) =>
    tx
      .updateTable('dkim_key')
      .set({ seen_at: isSeen ? sql<Date>`now()` : null })
      .where('domain_id', '=', domainId)
      .where('selector', '=', sql<string>`any(${selectors(isSeen)}::text[])`)
      .where('seen_at', isSeen ? 'is' : 'is not', null)
      .execute();
  await update(true);
  await update(false);
}

/** Of one domain, or of all; alias domains have the records of their domain under their own name. */
export async function dkimRecords(db: Kysely<Database>, domain: string | null): Promise<readonly DkimRecord[]> {
  let query = db
    .selectFrom('dkim_key')
    .innerJoin('domain', 'domain.id', 'dkim_key.domain_id')
    .innerJoin('domain_name', 'domain_name.domain_id', 'domain.id')
    .select(['domain_name.name as domain', 'selector', 'algorithm', 'state', 'public_key'])
    .where('domain.retained_at', 'is', null);
  if (domain !== null) query = query.where('domain.name', '=', domain);
  const rows = await query.orderBy('domain_name.name').orderBy('selector').execute();
  return rows.map(({ public_key: publicKey, ...row }) => ({
    ...row,
    name: `${row.selector}._domainkey.${row.domain}.`,
    value: `v=DKIM1; k=${row.algorithm === 'rsa2048' ? 'rsa' : 'ed25519'}; p=${publicKey}`,
  }));
}

/** A record as a line of a zone file: RFC 1035 section 3.3.14 has strings of 255 bytes at most. */
export function zoneLine({ name, value }: DkimRecord): string {
  const strings = value.match(/.{1,255}/g) ?? [];
  return `${name} 3600 IN TXT ${strings.map((text) => `"${text}"`).join(' ')}`;
}

/** Binds a sealed key to its row. */
export function dkimSealContext(domainId: bigint, selector: string): string {
  return `dkim ${domainId}/${selector}`;
}

async function readKeys(db: Kysely<Database>, domainId: bigint): Promise<readonly ObservedDkimKey[]> {
  const rows = await db
    .selectFrom('dkim_key')
    .select([
      'selector',
      'algorithm',
      'state',
      sql<number>`extract(epoch from now() - state_since)::float8`.as('in_state'),
      sql<number | null>`extract(epoch from now() - seen_at)::float8`.as('seen'),
    ])
    .where('domain_id', '=', domainId)
    .orderBy('state_since')
    .orderBy('selector')
    .execute();
  return rows.map(({ selector, algorithm, state, in_state: secondsInState, seen: secondsSeen }) => {
    return { selector, algorithm, state, secondsInState, secondsSeen };
  });
}

async function makeKeys(actions: readonly DkimAction[], keys: readonly ObservedDkimKey[]): Promise<readonly MadeKey[]> {
  const taken = new Set(keys.map(({ selector }) => selector));
  const made: MadeKey[] = [];
  for (const action of actions) {
    if (action.do !== 'make') continue;
    const selector = freeSelector(action.algorithm, taken);
    taken.add(selector);
    const { publicKey, privateKey } = await newKeyPair(action.algorithm);
    made.push({
      action,
      selector,
      publicKey: publicValue(publicKey, action.algorithm),
      privateKey: privateKey.export({ format: 'der', type: 'pkcs8' }),
    });
  }
  return made;
}

/** By algorithm and day, for people who look at the zone. */
function freeSelector(algorithm: DkimAlgorithm, taken: ReadonlySet<string>): string {
  const base = `${algorithm === 'rsa2048' ? 'r' : 'e'}${new Date().toISOString().slice(0, 10).replaceAll('-', '')}`;
  for (let n = 1; ; n++) {
    const selector = n === 1 ? base : `${base}-${n}`;
    if (!taken.has(selector)) return selector;
  }
}

function newKeyPair(
  algorithm: DkimAlgorithm,
): Promise<{ readonly publicKey: KeyObject; readonly privateKey: KeyObject }> {
  return algorithm === 'rsa2048'
    ? promisify(generateKeyPair)('rsa', { modulusLength: 2048 })
    : promisify(generateKeyPair)('ed25519', {});
}

/** RFC 6376 section 3.6.1 wants the SubjectPublicKeyInfo of RSA, RFC 8463 section 4.2 the 32 bytes of Ed25519. */
function publicValue(key: KeyObject, algorithm: DkimAlgorithm): string {
  const der = key.export({ format: 'der', type: 'spki' });
  return (algorithm === 'rsa2048' ? der : der.subarray(-32)).toString('base64');
}

type Application = DomainKeysOptions & {
  readonly actions: readonly DkimAction[];
  readonly made: readonly MadeKey[];
  readonly keys: readonly ObservedDkimKey[];
};

/** False: another process was quicker. */
function apply({ db, domainId: id, actions, made, keys, keyring, fence }: Application): Promise<boolean> {
  const states = (found: readonly ObservedDkimKey[]): string =>
    JSON.stringify(found.map(({ selector, state }) => [selector, state]));
  return transact(db, async (tx) => {
    await fence?.(tx);
    const domain = await tx.selectFrom('domain').select('id').where('id', '=', id).forNoKeyUpdate().executeTakeFirst();
    if (domain === undefined || states(await readKeys(tx, id)) !== states(keys)) return false;
    for (const action of actions) if (action.do !== 'make') await changeKey(tx, id, action);
    for (const { action, selector, publicKey, privateKey } of made) {
      const sealed = keyring.seal(privateKey, dkimSealContext(id, selector));
      await tx
        .insertInto('dkim_key')
        .values({
          domain_id: id,
          selector,
          algorithm: action.algorithm,
          state: action.state,
          public_key: publicKey,
          private_key: sealed.bytes,
          seal_key_id: sealed.keyId,
        })
        .execute();
    }
    return true;
  });
}

async function changeKey(
  tx: Kysely<Database>,
  domainId: bigint,
  action: Exclude<DkimAction, { readonly do: 'make' }>,
): Promise<void> {
  const key = { domain_id: domainId, selector: action.selector };
  if (action.do === 'remove') {
    await tx
      .deleteFrom('dkim_key')
      .where((eb) => eb.and(key))
      .execute();
    return;
  }
  const state = action.do === 'activate' ? 'active' : 'retiring';
  await tx
    .updateTable('dkim_key')
    .set({ state, state_since: sql<Date>`now()` })
    .where((eb) => eb.and(key))
    .execute();
}
