/** How far the orders of certificates are: rows of the database, so that a restart goes on with them. */
import { sql, type Kysely } from 'kysely';
import type { AcmeOrderProblem } from '#shared/db/acme-tables.ts';
import type { Database } from '#shared/db/schema.ts';
import { putChallenges } from '#shared/directory/acme-challenges.ts';
import type { Keyring } from '#shared/directory/keyring.ts';

export type StoredOrder = {
  /** What is wanted, and with which account: another one begins anew. */
  readonly attempt: string;
  /** The one under way; null: none, or its key can't be opened. */
  readonly order: { readonly url: string; readonly privateKey: string } | null;
  readonly failedAttempts: number;
  readonly nextAttempt: Date | null;
  readonly problem: AcmeOrderProblem | null;
  readonly issuedWish: string | null;
  readonly renewal: { readonly at: Date | null; readonly lookAt: Date | null };
  /** When the order began, failed, or was done. */
  readonly since: Date;
};

export async function readOrder(db: Kysely<Database>, keyring: Keyring, owner: string): Promise<StoredOrder | null> {
  const row = await db.selectFrom('acme_order').selectAll().where('owner', '=', owner).executeTakeFirst();
  if (row === undefined) return null;
  const { order_url: url, private_key: bytes, seal_key_id: keyId } = row;
  return {
    attempt: row.wish,
    order: url !== null && bytes !== null && keyId !== null ? opened(keyring, owner, { url, keyId, bytes }) : null,
    failedAttempts: row.failed_attempts,
    nextAttempt: row.next_attempt_at,
    problem: row.problem,
    issuedWish: row.issued_wish,
    renewal: { at: row.renewal_at, lookAt: row.renewal_look_at },
    since: row.updated_at,
  };
}

/** An order that began. Failures in a row go on being counted as long as the attempt is the same. */
export async function putOrder(
  tx: Kysely<Database>,
  keyring: Keyring,
  owner: string,
  { attempt, url, privateKey }: { readonly attempt: string; readonly url: string; readonly privateKey: string },
): Promise<void> {
  const sealed = keyring.seal(Buffer.from(privateKey), sealContext(owner));
  const order = { wish: attempt, order_url: url, private_key: sealed.bytes, seal_key_id: sealed.keyId };
  await tx
    .insertInto('acme_order')
    .values({ owner, ...order })
    .onConflict((conflict) =>
      conflict.column('owner').doUpdateSet({
        ...order,
        failed_attempts: sql<number>`case when acme_order.wish = excluded.wish then acme_order.failed_attempts else 0 end`,
        next_attempt_at: null,
        updated_at: sql<Date>`now()`,
      }),
    )
    .execute();
}

export type FailedAttempt = {
  readonly attempt: string;
  /** The order is over: another one begins with the next attempt. */
  readonly isOver: boolean;
  readonly failedAttempts: number;
  readonly nextAttempt: Date;
  readonly problem: AcmeOrderProblem;
};

export async function putFailure(tx: Kysely<Database>, owner: string, failure: FailedAttempt): Promise<void> {
  const { attempt, isOver, failedAttempts, nextAttempt, problem } = failure;
  const facts = {
    wish: attempt,
    failed_attempts: failedAttempts,
    next_attempt_at: nextAttempt,
    problem: JSON.stringify(problem),
    ...(isOver && { order_url: null, private_key: null, seal_key_id: null }),
  };
  if (!isOver) await dropOrderOfOther(tx, owner, attempt);
  await tx
    .insertInto('acme_order')
    .values({ owner, ...facts })
    .onConflict((conflict) => conflict.column('owner').doUpdateSet({ ...facts, updated_at: sql<Date>`now()` }))
    .execute();
  if (isOver) await putChallenges(tx, owner, []);
}

/** What another attempt had ordered is not for the names of this one, or not of its account. */
async function dropOrderOfOther(tx: Kysely<Database>, owner: string, attempt: string): Promise<void> {
  await tx
    .updateTable('acme_order')
    .set({ order_url: null, private_key: null, seal_key_id: null })
    .where('owner', '=', owner)
    .where('wish', '<>', attempt)
    .execute();
}

/** A certificate of this wish is there; nothing is under way any more. */
export async function putIssued(tx: Kysely<Database>, owner: string, wish: string): Promise<void> {
  const facts = {
    wish,
    issued_wish: wish,
    order_url: null,
    private_key: null,
    seal_key_id: null,
    failed_attempts: 0,
    next_attempt_at: null,
    problem: null,
    renewal_at: null,
    renewal_look_at: null,
  };
  await tx
    .insertInto('acme_order')
    .values({ owner, ...facts })
    .onConflict((conflict) => conflict.column('owner').doUpdateSet({ ...facts, updated_at: sql<Date>`now()` }))
    .execute();
  await putChallenges(tx, owner, []);
}

export async function putRenewal(
  tx: Kysely<Database>,
  owner: string,
  { at, lookAt }: StoredOrder['renewal'],
): Promise<void> {
  await tx
    .updateTable('acme_order')
    .set({ renewal_at: at, renewal_look_at: lookAt })
    .where('owner', '=', owner)
    .execute();
}

/** Nothing is known of it any more, and nothing answered for it. */
export async function removeOrder(tx: Kysely<Database>, owner: string): Promise<void> {
  await tx.deleteFrom('acme_challenge').where('owner', '=', owner).execute();
  await tx.deleteFrom('acme_order').where('owner', '=', owner).execute();
}

function opened(
  keyring: Keyring,
  owner: string,
  { url, keyId, bytes }: { readonly url: string; readonly keyId: string; readonly bytes: Buffer },
): StoredOrder['order'] {
  try {
    return { url, privateKey: keyring.open({ keyId, bytes }, sealContext(owner)).toString('utf8') };
  } catch {
    // Sealed with a key that is gone: another order begins.
    return null;
  }
}

/** Binds what is sealed to its row. */
function sealContext(owner: string): string {
  return `acme order ${owner}`;
}
