/** Does what a comparison planned: Secrets of new passwords first, then the rows. */
import type { Action } from '#shared/provisioning/plan.ts';
import { applyActions, type Outcome } from '#shared/reconcile/apply-actions.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import type { CredentialHosts } from './credential-hosts.ts';
import type { GatheredObjects } from './gathered-objects.ts';
import { isPasswordAction, makePasswords, type MadePasswords, type PasswordAction } from './new-passwords.ts';
import type { OwnedSecrets } from './owned-secrets.ts';
import type { WriteFailure } from './verdict-report.ts';

/** Passwords of one transaction; their hashes take longest of all. */
const passwordsABatch = 100;
const mostLogged = 50;

export class DirectoryWriter {
  readonly #foundation: OperatorFoundation;
  readonly #owned: OwnedSecrets;
  readonly #hosts: CredentialHosts;

  constructor(foundation: OperatorFoundation, owned: OwnedSecrets, hosts: CredentialHosts) {
    this.#foundation = foundation;
    this.#owned = owned;
    this.#hosts = hosts;
  }

  /** `deadline`, of the monotonic clock: no further batch of passwords is begun after it. */
  async write(actions: readonly Action[], gathered: GatheredObjects, deadline: number): Promise<Written> {
    const written = new Written();
    const others = actions.filter((action) => !isPasswordAction(action));
    if (others.length > 0) written.add(others, await this.#apply(others, new Map()), new Map());
    const passwords = actions.filter(isPasswordAction);
    // While one batch is written to the database, the Secrets of the next are made.
    let writing: Promise<void> = Promise.resolve();
    for (let from = 0; from < passwords.length; from += passwordsABatch) {
      if (this.#foundation.lost.aborted) break;
      if (from > 0 && this.#foundation.clock.monotonicMs() > deadline) {
        written.isCutShort = true;
        break;
      }
      const batch = passwords.slice(from, from + passwordsABatch);
      const [made] = await Promise.all([this.#makePasswords(batch, gathered), writing]);
      writing = this.#setPasswords(batch, made, written);
      // Whoever awaits it hears of it.
      writing.catch(() => undefined);
    }
    await writing;
    return written;
  }

  #makePasswords(batch: readonly PasswordAction[], gathered: GatheredObjects): Promise<MadePasswords> {
    const { keyring, metrics, database } = this.#foundation;
    return makePasswords(batch, {
      db: database.db,
      keyring,
      secrets: this.#owned,
      metrics,
      objectOf: (uid) => gathered.objects.get(uid),
      hostOf: ({ uid, secretName }) => {
        const owner = gathered.objects.get(uid);
        return owner ? this.#hosts.hostFor(owner, secretName) : null;
      },
    });
  }

  async #setPasswords(
    batch: readonly PasswordAction[],
    { passwords, failures, isBehind }: MadePasswords,
    written: Written,
  ): Promise<void> {
    if (isBehind) written.isBehind = true;
    const ready = batch.filter(({ uid }) => passwords.has(uid));
    written.add(ready, ready.length > 0 ? await this.#apply(ready, passwords) : new Map(), failures);
  }

  #apply(
    actions: readonly Action[],
    passwords: Parameters<typeof applyActions>[0]['passwords'],
  ): Promise<ReadonlyMap<string, Outcome>> {
    const { database, keyring, epoch, logger } = this.#foundation;
    for (const { do: action, uid } of actions.slice(0, mostLogged)) {
      logger.debug({ event: 'directory.applying', action, uid }, 'the directory is changed');
    }
    return applyActions({ db: database.db, actions, keyring, epoch, passwords });
  }

  /** `before`: what had failed already, and was told of. */
  count({ byAction, changes, failures }: Written, before: ReadonlyMap<string, WriteFailure>): void {
    const { metrics, logger } = this.#foundation;
    for (const [action, count] of byAction) metrics.actions.inc({ action }, count);
    if (changes > 0) {
      const actions = [...byAction].map(([action, count]) => `${action} ${count}`);
      logger.info({ event: 'directory.changed', changes, actions }, 'the directory follows the resources');
    }
    for (const [uid, { reason, message }] of [...failures].slice(0, mostLogged)) {
      if (before.get(uid)?.reason === reason) continue;
      logger.warn({ event: 'directory.refused', uid, reason }, message);
    }
  }
}

/** What became of some actions. */
export class Written {
  changes = 0;
  /** There was no time for all of them. */
  isCutShort = false;
  /** The cache did not have yet what is there. */
  isBehind = false;
  /** Which action of which resource. */
  readonly what = new Set<string>();
  readonly failures = new Map<string, WriteFailure>();
  readonly byAction = new Map<string, number>();

  add(
    actions: readonly Action[],
    outcomes: ReadonlyMap<string, Outcome>,
    failures: ReadonlyMap<string, WriteFailure>,
  ): void {
    for (const action of actions) {
      const outcome = action.uid === null ? undefined : outcomes.get(action.uid);
      if (outcome && !outcome.ok) continue;
      this.changes += 1;
      this.what.add(keyOf(action));
      this.byAction.set(action.do, (this.byAction.get(action.do) ?? 0) + 1);
    }
    for (const [uid, outcome] of outcomes) {
      if (outcome.ok) continue;
      const { reason, message } = outcome;
      const condition = reason === 'SecretMissing' ? 'CredentialsReady' : 'Synced';
      this.failures.set(uid, { condition, reason, message, isPassing: reason === 'Conflict' });
    }
    for (const [uid, failure] of failures) this.failures.set(uid, failure);
  }

  has(action: Action): boolean {
    return this.what.has(keyOf(action));
  }
}

/** Whoever edits a Mailbox twice asks for two things. */
function keyOf(action: Action): string {
  const wish = action.do === 'put-account' ? action.account.specHash : '';
  return `${action.do} ${action.uid ?? ''} ${wish}`;
}
