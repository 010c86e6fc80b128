/**
 * One comparison of resources with rows, of all of them or of some Mailboxes, and what it asks to be done. Level-based:
 * it does not matter what changed, only what is. Where nothing is different, nothing is written, neither here nor there.
 * What a status says was read from the database after it had been written.
 */
import { readClaims } from '#shared/directory/domain-claims.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import type { Resources } from '#shared/provisioning/resource.ts';
import { directoryPass, type PassInput, type PassResult } from '#shared/reconcile/directory-pass.ts';
import { isOfMailbox, partOf, partPass } from '#shared/reconcile/part-pass.ts';
import { readDirectory, readPart, type StoredDirectory } from '#shared/reconcile/read-directory.ts';
import type { Secret } from '#operator/kube/core-resources.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import { ownershipNow } from '#operator/foundation/ownership.ts';
import { isEstablishedBy, isProvedBy } from './claims.ts';
import { CredentialHosts } from './credential-hosts.ts';
import { DirectoryWriter, type Written } from './directory-writer.ts';
import { releaseFinalizer, settleFinalizers } from './finalizers.ts';
import { isPaused, type GatheredObjects, type ObjectReader } from './gathered-objects.ts';
import { OwnedSecrets } from './owned-secrets.ts';
import { SecretReader, type Referrers } from './secret-reader.ts';
import { VerdictReporter } from './verdict-reporter.ts';
import type { WriteFailure } from './verdict-report.ts';

/** Mailboxes alone have to be looked at again: those that something was done for, and those that wait. */
export type Followed = { readonly done: ReadonlySet<string>; readonly left: ReadonlySet<string> };

export type RunResult = {
  /** Actions that were done. */
  readonly changes: number;
  /** What to look at again at once: there is more to do, or what was done is to be read. */
  readonly more: 'nothing' | 'everything' | Followed;
  /** Something of it had been done by the run before: somebody undoes it, or it does not do what it should. */
  readonly isRepeating: boolean;
  /** What could not be done: it may be possible in a moment, or later. */
  readonly failed: 'nothing' | 'for-now' | 'something';
  /** When there will be something to do though nothing changes; null: nothing is known of. */
  readonly dueAt: Date | null;
};

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
  readonly #writer: DirectoryWriter;
  /** Of the last attempt, by UID. */
  #failures: ReadonlyMap<string, WriteFailure> = new Map();
  /** What the last run did. */
  #before: Written | null = null;

  constructor(foundation: OperatorFoundation, objects: ObjectReader) {
    const { client, resources } = foundation;
    this.#foundation = foundation;
    this.#secrets = new SecretReader(client, resources);
    this.#objects = objects;
    this.#owned = new OwnedSecrets(client, resources);
    this.#hosts = new CredentialHosts(resources, this.#owned);
    this.#reporter = new VerdictReporter(foundation);
    this.#writer = new DirectoryWriter(foundation, this.#owned, this.#hosts);
  }

  /** For whom a change of this Secret, which is not ours, is a reason for a run. */
  concernedBy(secret: Secret): Referrers {
    return this.#owned.isAwaited(secret) ? 'others' : this.#secrets.referrersOf(secret);
  }

  /** The UID of the Mailbox that this Secret of ours was made for, where it concerns nobody else; null: it may. */
  ownerOf(secret: Secret): string | null {
    return this.#secrets.ownerOf(secret);
  }

  /** `deletedUids`: resources whose deletion was seen. Errors of database and API server are passed on. */
  async run(deletedUids: ReadonlySet<string>): Promise<RunResult> {
    const { board, database, metrics } = this.#foundation;
    const startedAt = this.#foundation.clock.monotonicMs();
    const gathered = this.#objects.gather(ownershipNow(this.#foundation));
    // What another release has taken over is its to tell of.
    for (const uid of gathered.foreign) board.forget(uid);
    await settleFinalizers(this.#foundation.client, gathered.objects.values());
    const secrets = await this.#secrets.read(gathered.resources);
    const claims = await readClaims(database.db);
    const stored = await readDirectory(database.db);
    const result = directoryPass(
      this.#inputOf(gathered, { claims, stored, resources: { ...gathered.resources, secrets }, deletedUids }),
    );
    metrics.passSeconds.observe((this.#foundation.clock.monotonicMs() - startedAt) / 1000);
    metrics.massDetachBlocked.set(result.blocked?.missing ?? 0);
    const written = await this.#carryOut(result, { gathered, secrets, startedAt, isPart: false });
    await this.#letGo(result, gathered);
    await this.#hosts.refresh(result, gathered);
    return this.#resultOf(result, written);
  }

  /** Mailboxes alone; null: they can't be looked at by themselves, and nothing was done. */
  async runPart(uids: ReadonlySet<string>): Promise<RunResult | null> {
    const { database, resources: caches } = this.#foundation;
    const startedAt = this.#foundation.clock.monotonicMs();
    const gathered = this.#objects.gatherSome(uids, ownershipNow(this.#foundation));
    if (gathered === null) return null;
    const { mailboxes } = gathered.resources;
    const part = partOf(mailboxes, gathered.resources, [...caches.mailboxes.items(), ...caches.aliases.items()]);
    if (part === null) return null;
    await settleFinalizers(
      this.#foundation.client,
      [...gathered.objects.values()].filter(({ metadata }) => uids.has(metadata.uid)),
    );
    const secrets = await this.#secrets.readOf(mailboxes);
    const claims = await readClaims(database.db);
    const stored = await readPart(database.db, part);
    const resources = { ...gathered.resources, secrets };
    const result = partPass(this.#inputOf(gathered, { claims, stored, resources, deletedUids: new Set() }), part);
    if (result === null) return null;
    const written = await this.#carryOut(result, { gathered, secrets, startedAt, isPart: true });
    return this.#resultOf(result, written);
  }

  #inputOf(
    { unreadable, unreadableDeleting, objects, foreign }: GatheredObjects,
    { claims, stored, resources, deletedUids }: Read,
  ): PassInput {
    const { keyring, clock, config, resources: caches } = this.#foundation;
    return {
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
    };
  }

  /** Does it, and tells of it. */
  async #carryOut(result: PassResult, { gathered, secrets, startedAt, isPart }: Comparison): Promise<Written> {
    const { actions } = result;
    const compared = { gathered, secrets, actions, failures: this.#failures, isPart };
    // Many changes take seconds, in which statuses can be written; few are done first, since somebody waits for them.
    const isMuch = actions.length > fewActions;
    if (isMuch) this.#reporter.report(result, compared);
    const comparedMs = this.#foundation.clock.monotonicMs() - startedAt;
    const deadline = startedAt + Math.max(longestRunMs, comparisons * comparedMs);
    const writing = this.#writer.write(actions, gathered, deadline);
    const written = await writing.finally(() => {
      if (!isMuch) this.#reporter.report(result, compared);
    });
    this.#writer.count(written, this.#failures);
    const { failures } = written;
    const others = isPart ? [...this.#failures].filter(([uid]) => !result.verdicts.has(uid)) : [];
    this.#failures = others.length > 0 ? new Map([...others, ...failures]) : failures;
    if (failures.size > 0) this.#reporter.reportFailures(result, gathered, failures);
    return written;
  }

  #resultOf(result: PassResult, written: Written): RunResult {
    const { changes, failures, isCutShort, isBehind } = written;
    const before = this.#before;
    this.#before = written;
    return {
      changes,
      more: changes > 0 || isCutShort ? moreOf(result.actions, written) : 'nothing',
      // What is left over is more than what may be in vain.
      isRepeating:
        !isCutShort && before !== null && result.actions.some((each) => before.has(each) && written.has(each)),
      failed: isBehind ? 'for-now' : kindOfFailure([...failures.values()]),
      dueAt: nextDue(result),
    };
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

type Read = {
  readonly claims: Awaited<ReturnType<typeof readClaims>>;
  readonly stored: StoredDirectory;
  readonly resources: Resources;
  readonly deletedUids: ReadonlySet<string>;
};

type Comparison = {
  readonly gathered: GatheredObjects;
  readonly secrets: Resources['secrets'];
  readonly startedAt: number;
  readonly isPart: boolean;
};

/** Where Mailboxes alone were to change, and no write failed, the others are as they were. */
function moreOf(actions: readonly Action[], written: Written): 'everything' | Followed {
  if (written.failures.size > 0 || written.isBehind || !actions.every(isOfMailbox)) return 'everything';
  const done = new Set<string>();
  const left = new Set<string>();
  for (const action of actions) if (action.uid !== null) (written.has(action) ? done : left).add(action.uid);
  return { done, left: left.difference(done) };
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
