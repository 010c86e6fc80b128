/**
 * One comparison of all resources with all rows, and what it asks to be done. Level-based: it does not matter what
 * changed, only what is. Where nothing is different, nothing is written, neither here nor there. What a status says was
 * read from the database after it had been written.
 */
import { readClaims } from '#shared/directory/domain-claims.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import type { Resources } from '#shared/provisioning/resource.ts';
import { applyActions, type Outcome } from '#shared/reconcile/apply-actions.ts';
import { directoryPass, type PassResult } from '#shared/reconcile/directory-pass.ts';
import { readDirectory } from '#shared/reconcile/read-directory.ts';
import type { Secret } from '#operator/kube/core-resources.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import { ownershipNow } from '#operator/foundation/ownership.ts';
import { isEstablishedBy, isProvedBy } from './claims.ts';
import { CredentialHosts } from './credential-hosts.ts';
import { releaseFinalizer, settleFinalizers } from './finalizers.ts';
import { isPaused, type GatheredObjects, type ObjectReader } from './gathered-objects.ts';
import { isPasswordAction, makePasswords, type MadePasswords, type PasswordAction } from './new-passwords.ts';
import { OwnedSecrets } from './owned-secrets.ts';
import { SecretReader } from './secret-reader.ts';
import { VerdictReporter } from './verdict-reporter.ts';
import type { WriteFailure } from './verdict-report.ts';

export type RunResult = {
  /** Actions that were done. */
  readonly changes: number;
  /** Look again at once: there is more to do, or what was done is to be read. */
  readonly isMore: boolean;
  /** Something of it had been done by the run before: somebody undoes it, or it does not do what it should. */
  readonly isRepeating: boolean;
  /** What could not be done: it may be possible in a moment, or later. */
  readonly failed: 'nothing' | 'for-now' | 'something';
  /** When there will be something to do though nothing changes; null: nothing is known of. */
  readonly dueAt: Date | null;
};

/** Passwords of one transaction; their hashes take longest of all. */
const passwordsABatch = 100;
/** What has come meanwhile is not to wait longer than this for a run with many passwords… */
const longestRunMs = 3_000;
/** … unless comparing takes so long itself that it would be most of the work. */
const comparisons = 20;
/** So many take a fraction of a second. */
const fewActions = 50;

export class DirectoryRunner {
  readonly #foundation: OperatorFoundation;
  readonly #objects: ObjectReader;
  readonly #secrets: SecretReader;
  readonly #owned: OwnedSecrets;
  readonly #hosts: CredentialHosts;
  readonly #reporter: VerdictReporter;
  /** Of the last attempt, by UID. */
  #failures: ReadonlyMap<string, WriteFailure> = new Map();
  /** What the last run did. */
  #done: ReadonlySet<string> = new Set();

  constructor(foundation: OperatorFoundation, objects: ObjectReader) {
    const { client, resources } = foundation;
    this.#foundation = foundation;
    this.#secrets = new SecretReader(client, resources);
    this.#objects = objects;
    this.#owned = new OwnedSecrets(client, resources);
    this.#hosts = new CredentialHosts(resources, this.#owned);
    this.#reporter = new VerdictReporter(foundation);
  }

  /** Whether a change of this Secret, which is not ours, is a reason for a run. */
  concerns(secret: Secret): boolean {
    return this.#secrets.isReferenced(secret) || this.#owned.isAwaited(secret);
  }

  /** `deletedUids`: resources whose deletion was seen. Errors of database and API server are passed on. */
  async run(deletedUids: ReadonlySet<string>): Promise<RunResult> {
    const { client, board } = this.#foundation;
    const startedAt = this.#foundation.clock.monotonicMs();
    const gathered = this.#objects.gather(ownershipNow(this.#foundation));
    // What another release has taken over is its to tell of.
    for (const uid of gathered.foreign) board.forget(uid);
    await settleFinalizers(client, gathered.objects.values());
    const resources = { ...gathered.resources, secrets: await this.#secrets.read(gathered.resources) };
    const result = await this.#compare(gathered, resources, deletedUids, startedAt);
    const { actions } = result;
    const compared = { gathered, secrets: resources.secrets, actions, failures: this.#failures };
    // Many changes take seconds, in which statuses can be written; few are done first, since somebody waits for them.
    const isMuch = actions.length > fewActions;
    if (isMuch) this.#reporter.report(result, compared);
    const comparedMs = this.#foundation.clock.monotonicMs() - startedAt;
    const deadline = startedAt + Math.max(longestRunMs, comparisons * comparedMs);
    const doing = this.#do(actions, gathered, deadline);
    const { changes, failures, isCutShort, isBehind, what } = await doing.finally(() => {
      if (!isMuch) this.#reporter.report(result, compared);
    });
    // What is left over is more than what may be in vain.
    const isRepeating = !isCutShort && [...what].some((each) => this.#done.has(each));
    this.#done = what;
    this.#failures = failures;
    if (failures.size > 0) this.#reporter.reportFailures(result, gathered, failures);
    await this.#letGo(result, gathered);
    await this.#hosts.refresh(result, gathered);
    return {
      changes,
      isMore: changes > 0 || isCutShort,
      isRepeating,
      failed: isBehind ? 'for-now' : kindOfFailure([...failures.values()]),
      dueAt: nextDue(result),
    };
  }

  async #compare(
    { unreadable, unreadableDeleting, objects, foreign }: GatheredObjects,
    resources: Resources,
    deletedUids: ReadonlySet<string>,
    startedAt: number,
  ): Promise<PassResult> {
    const { database, keyring, clock, metrics, config, resources: caches } = this.#foundation;
    const claims = await readClaims(database.db);
    const stored = await readDirectory(database.db);
    const result = directoryPass({
      resources,
      unreadable,
      unreadableDeleting,
      pausedUids: new Set([...objects.values()].filter(isPaused).map(({ metadata }) => metadata.uid)),
      foreignUids: new Set(foreign),
      stored,
      keyring,
      isProved: isProvedBy(claims, resources.servers),
      isEstablished: isEstablishedBy(claims, clock.now(), config.domainHandoverSeconds),
      namespaceLabels: namespaceLabels(caches.namespaces.items()),
      deletedUids,
      mayDetachMany: resources.servers.some(({ annotations }) => annotations[massDetachAnnotation] === 'true'),
      mayAdopt: resources.servers.some(({ spec }) => spec.adoptFrom === 'SameName'),
      now: clock.now(),
    });
    metrics.passSeconds.observe((clock.monotonicMs() - startedAt) / 1000);
    metrics.massDetachBlocked.set(result.blocked?.missing ?? 0);
    return result;
  }

  async #do(actions: readonly Action[], gathered: GatheredObjects, deadline: number): Promise<Done> {
    const done = new Done();
    const others = actions.filter((action) => !isPasswordAction(action));
    if (others.length > 0) done.add(others, await this.#apply(others, new Map()), new Map());
    const passwords = actions.filter(isPasswordAction);
    // While one batch is written to the database, the Secrets of the next are made.
    let writing: Promise<void> = Promise.resolve();
    for (let from = 0; from < passwords.length; from += passwordsABatch) {
      if (this.#foundation.lost.aborted) break;
      if (from > 0 && this.#foundation.clock.monotonicMs() > deadline) {
        done.isCutShort = true;
        break;
      }
      const batch = passwords.slice(from, from + passwordsABatch);
      const [made] = await Promise.all([this.#makePasswords(batch, gathered), writing]);
      writing = this.#setPasswords(batch, made, done);
      // Whoever awaits it hears of it.
      writing.catch(() => undefined);
    }
    await writing;
    this.#count(done);
    return done;
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
    done: Done,
  ): Promise<void> {
    if (isBehind) done.isBehind = true;
    const ready = batch.filter(({ uid }) => passwords.has(uid));
    done.add(ready, ready.length > 0 ? await this.#apply(ready, passwords) : new Map(), failures);
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

  #count({ byAction, changes, failures }: Done): void {
    const { metrics, logger } = this.#foundation;
    for (const [action, count] of byAction) metrics.actions.inc({ action }, count);
    if (changes > 0) {
      const actions = [...byAction].map(([action, count]) => `${action} ${count}`);
      logger.info({ event: 'directory.changed', changes, actions }, 'the directory follows the resources');
    }
    for (const [uid, { reason, message }] of [...failures].slice(0, mostLogged)) {
      if (this.#failures.get(uid)?.reason === reason) continue;
      logger.warn({ event: 'directory.refused', uid, reason }, message);
    }
  }

  /** Deletions that are recorded in the database need us no more. */
  async #letGo({ verdicts }: PassResult, { objects }: GatheredObjects): Promise<void> {
    for (const [uid, { deletion }] of verdicts) {
      const object = objects.get(uid);
      if (deletion?.state === 'recorded' && object) await releaseFinalizer(this.#foundation.client, object);
    }
  }
}

const massDetachAnnotation = 'postrider.dev/allow-mass-detach';
const mostLogged = 50;

class Done {
  changes = 0;
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
    for (const { do: action, uid } of actions) {
      const outcome = uid === null ? undefined : outcomes.get(uid);
      if (outcome && !outcome.ok) continue;
      this.changes += 1;
      this.what.add(`${action} ${uid ?? ''}`);
      this.byAction.set(action, (this.byAction.get(action) ?? 0) + 1);
    }
    for (const [uid, outcome] of outcomes) {
      if (outcome.ok) continue;
      const { reason, message } = outcome;
      const condition = reason === 'SecretMissing' ? 'CredentialsReady' : 'Synced';
      this.failures.set(uid, { condition, reason, message, isPassing: reason === 'Conflict' });
    }
    for (const [uid, failure] of failures) this.failures.set(uid, failure);
  }
}

function kindOfFailure(failures: readonly WriteFailure[]): RunResult['failed'] {
  if (failures.some(({ isPassing }) => isPassing)) return 'for-now';
  return failures.length > 0 ? 'something' : 'nothing';
}

function namespaceLabels(items: readonly NamespaceLike[]): ReadonlyMap<string, Readonly<Record<string, string>>> {
  return new Map(items.map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
}

type NamespaceLike = {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
};

/** Passwords of workloads that are to be replaced, or that work no more. */
function nextDue({ verdicts }: PassResult): Date | null {
  const times = [...verdicts.values()].flatMap(({ facts }) =>
    facts.kind === 'MailCredential' ? [facts.rotationDueAt, facts.previousUntil] : [],
  );
  return times.reduce(
    (earliest, time) => (time !== null && (earliest === null || time < earliest) ? time : earliest),
    null,
  );
}
