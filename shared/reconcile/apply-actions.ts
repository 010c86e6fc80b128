/**
 * Does what a pass planned, in transactions of some hundreds of resources. A resource whose row the database refuses
 * fails alone. The same actions again do no harm, and whatever was left undone is planned again by the next pass.
 */
import { NoResultError, sql, type Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import { classifyPgError, isRowFault } from '#shared/db/pg-error.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import { setPrimaryPasswords } from '#shared/directory/credentials.ts';
import type { NewPassword } from '#shared/directory/credentials.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import { actionPhases } from '#shared/provisioning/plan.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import { addressKey } from '#shared/provisioning/wanted.ts';
import type { Named } from '#shared/provisioning/wanted.ts';
import { applyAction } from './apply-action.ts';
import { accountIds, insertAccounts, insertAddresses, RowsChanged, updateAccounts } from './bulk-rows.ts';
import { assertEpoch, quiet } from './leader-epoch.ts';

export type Outcome =
  | { readonly ok: true }
  /** `Conflict`: the row is not as it was planned for, another pass will tell. `SecretMissing`: no password was handed in. */
  | { readonly ok: false; readonly reason: 'Conflict' | 'WriteRejected' | 'SecretMissing'; readonly message: string };

export type ApplyActionsOptions = {
  readonly db: Kysely<Database>;
  readonly actions: readonly Action[];
  readonly keyring: Keyring;
  /** The leader's (takeEpoch); null: nobody else writes. */
  readonly epoch: bigint | null;
  /** By UID, for each set-password and set-credential-password; one that is not there leaves the password as it is. */
  readonly passwords: ReadonlyMap<string, NewPassword>;
  /** Called after each commit, with what became of the resources in it. */
  readonly onCommit?: (outcomes: ReadonlyMap<string, Outcome>) => void;
  /** Resources of one transaction; 250 unless told. */
  readonly resourcesATransaction?: number;
};

/** Held by the transaction of whoever makes rows follow resources; "postrider directory" as a number. */
const directoryLock = 7_060_451_233_790_521n;

export async function lockDirectory(tx: Kysely<Database>): Promise<void> {
  await sql`select pg_advisory_xact_lock(${directoryLock})`.execute(tx);
}

/**
 * By UID; resolves after the last commit. Throws StaleEpoch, and what `transact` throws where the database can't be
 * reached: what was committed before stays.
 */
export async function applyActions(options: ApplyActionsOptions): Promise<ReadonlyMap<string, Outcome>> {
  const { actions, resourcesATransaction = 250 } = options;
  const outcomes = new Map<string, Outcome>();
  const possible = actions.filter((action) => {
    if (!needsPassword(action) || options.passwords.has(action.uid)) return true;
    outcomes.set(action.uid, { ok: false, reason: 'SecretMissing', message: 'its password is not known yet' });
    return false;
  });
  // What frees a name comes before anything that takes it, domains before what is at them; then each is its own.
  const batches = actionPhases.flatMap((kinds) =>
    chunks(byResource(possible.filter((action) => kinds.includes(action.do))), resourcesATransaction),
  );
  for (const batch of batches) {
    const made = await applyBatch(options, batch);
    for (const [uid, outcome] of made) {
      if (outcomes.get(uid)?.ok !== false) outcomes.set(uid, outcome);
    }
    options.onCommit?.(made);
  }
  return outcomes;
}

type PasswordAction = Extract<Action, { readonly do: 'set-password' | 'set-credential-password' }>;

function needsPassword(action: Action): action is PasswordAction {
  return action.do === 'set-password' || action.do === 'set-credential-password';
}

/** The actions of one resource, in their order; null: of rows that follow none. */
type Group = { readonly uid: string | null; readonly actions: Action[] };

function byResource(actions: readonly Action[]): readonly Group[] {
  const groups = new Map<string | null, Group>();
  for (const action of actions) {
    const group = groups.get(action.uid) ?? { uid: action.uid, actions: [] };
    groups.set(action.uid, group);
    group.actions.push(action);
  }
  return [...groups.values()];
}

function chunks<One>(all: readonly One[], size: number): readonly (readonly One[])[] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));
}

const done: Outcome = { ok: true };

async function applyBatch(
  options: ApplyActionsOptions,
  batch: readonly Group[],
): Promise<ReadonlyMap<string, Outcome>> {
  const actions = batch.flatMap((group) => group.actions);
  try {
    await inTransaction(options, (tx) => applyTogether(tx, options, actions));
    return new Map(batch.flatMap(({ uid }) => (uid === null ? [] : [[uid, done] as const])));
  } catch (error) {
    if (!isOfOneRow(error)) throw error;
  }
  const outcomes = new Map<string, Outcome>();
  for (const group of batch) {
    const outcome = await applyAlone(options, group.actions);
    if (group.uid !== null) outcomes.set(group.uid, outcome);
  }
  return outcomes;
}

async function applyAlone(options: ApplyActionsOptions, actions: readonly Action[]): Promise<Outcome> {
  try {
    await inTransaction(options, async (tx) => {
      for (const action of actions) await applyAction(action, { ...options, tx });
    });
    return done;
  } catch (error) {
    if (!isOfOneRow(error)) throw error;
    return { ok: false, ...reasonOf(error) };
  }
}

function isOfOneRow(error: unknown): boolean {
  return error instanceof RowsChanged || error instanceof NoResultError || isRowFault(error);
}

/** Postgres puts values into the detail of an error, never into its message. */
function reasonOf(error: unknown): { readonly reason: 'Conflict' | 'WriteRejected'; readonly message: string } {
  if (!isRowFault(error)) return { reason: 'Conflict', message: 'the row was changed meanwhile' };
  if (classifyPgError(error).kind === 'unique-violation') {
    return { reason: 'Conflict', message: 'the database has such a row of another resource' };
  }
  return { reason: 'WriteRejected', message: error instanceof Error ? error.message : String(error) };
}

function inTransaction(
  { db, epoch }: ApplyActionsOptions,
  work: (tx: Kysely<Database>) => Promise<void>,
): Promise<void> {
  return transact(db, async (tx) => {
    if (epoch !== null) await assertEpoch(tx, epoch);
    await quiet(tx);
    await lockDirectory(tx);
    await work(tx);
  });
}

/** Ids of accounts that were not there when it was planned, by `addressKey`. */
type Made = Map<string, AccountId>;

async function applyTogether(
  tx: Kysely<Database>,
  options: ApplyActionsOptions,
  actions: readonly Action[],
): Promise<void> {
  const made: Made = new Map();
  for (const kind of actionPhases.flat()) {
    const own = actions.filter((action) => action.do === kind);
    if (own.length > 0) await applyKind(tx, options, own, made);
  }
}

/** Many of a kind are one statement, where there may be thousands of them. */
async function applyKind(
  tx: Kysely<Database>,
  options: ApplyActionsOptions,
  actions: readonly Action[],
  made: Made,
): Promise<void> {
  const accounts = actions.filter((action) => action.do === 'put-account');
  const addresses = actions.filter((action) => action.do === 'add-address').filter(({ of }) => of === 'account');
  const passwords = actions.filter((action) => action.do === 'set-password');
  const inserted = await insertAccounts(
    tx,
    accounts.flatMap(({ id, account }) => (id === null ? [account] : [])),
  );
  for (const [key, id] of inserted) made.set(key, id);
  await updateAccounts(
    tx,
    accounts.flatMap(({ id, account }) => (id === null ? [] : [{ id, account }])),
  );
  await insertAddresses(
    tx,
    addresses.map(({ id, owner, address }) => ({ id: idOf(id as AccountId | null, owner, made), address })),
  );
  // Those that a transaction before this one made.
  const later = passwords.flatMap(({ id, account }) =>
    id === null && !made.has(addressKey(account)) ? [account] : [],
  );
  const ids = await accountIds(
    tx,
    later.map(({ uid }) => uid),
  );
  for (const account of later) {
    const id = ids.get(account.uid);
    if (id !== undefined) made.set(addressKey(account), id);
  }
  await setPrimaryPasswords(
    tx,
    options.keyring,
    new Map(passwords.flatMap((action) => passwordOf(action, options, made))),
  );
  const together = new Set<Action>([...accounts, ...addresses, ...passwords]);
  for (const action of actions) {
    if (!together.has(action)) await applyAction(action, { ...options, tx });
  }
}

function passwordOf(
  { id, uid, account }: Extract<Action, { readonly do: 'set-password' }>,
  { passwords }: ApplyActionsOptions,
  made: Made,
): readonly (readonly [AccountId, NewPassword])[] {
  const password = passwords.get(uid);
  return password ? [[idOf(id, account, made), password]] : [];
}

function idOf(id: AccountId | null, account: Named, made: Made): AccountId {
  const found = id ?? made.get(addressKey(account));
  if (found === undefined) throw new RowsChanged(`no row of ${addressKey(account)}`);
  return found;
}
