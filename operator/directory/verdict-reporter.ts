import type { Action } from '#shared/provisioning/plan.ts';
import type { SecretResource } from '#shared/provisioning/resource.ts';
import type { PassResult } from '#shared/reconcile/directory-pass.ts';
import type { Verdict } from '#shared/reconcile/verdict.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import type { OwnObject } from '#operator/foundation/resource-caches.ts';
import type { ConditionReport } from '#operator/status/condition.ts';
import { isPaused, type GatheredObjects } from './gathered-objects.ts';
import { directoryPart } from './pending-reports.ts';
import { ReferenceCounts } from './reference-counts.ts';
import { reportOf, type WriteFailure } from './verdict-report.ts';

export type Compared = {
  readonly gathered: GatheredObjects;
  readonly secrets: readonly SecretResource[];
  /** What is still to be done. */
  readonly actions: readonly Action[];
  readonly failures: ReadonlyMap<string, WriteFailure>;
  /** There are more resources than those of the verdicts. */
  readonly isPart: boolean;
};

type Versions = Map<string, { readonly secret: SecretResource; readonly version: string }>;

/** Hands what a comparison found out to the status board. */
export class VerdictReporter {
  readonly #foundation: Pick<OperatorFoundation, 'board' | 'keyring'>;
  /** The last versions that were made, since most stay the same. */
  #versions: Versions = new Map();

  constructor(foundation: Pick<OperatorFoundation, 'board' | 'keyring'>) {
    this.#foundation = foundation;
  }

  /** A resource with something left to do keeps its status until that is done, or has failed before. */
  report(result: PassResult, { gathered, secrets, actions, failures, isPart }: Compared): void {
    const waiting = new Set(actions.map(({ uid }) => uid));
    const byName = new Map(secrets.map((secret) => [`${secret.namespace}/${secret.name}`, secret]));
    const versions: Versions = isPart ? this.#versions : new Map();
    const counts = new ReferenceCounts(gathered.resources);
    for (const [uid, verdict] of result.verdicts) {
      const object = gathered.objects.get(uid);
      const failure = failures.get(uid) ?? null;
      if (!object || (waiting.has(uid) && failure === null)) continue;
      const fields = {
        ...counts.fieldsOf(object),
        ...addressField(object, verdict),
        ...this.#credentialFields(verdict, byName, versions),
      };
      this.#tell(object, verdict, { result, failure: waiting.has(uid) ? failure : null, fields });
    }
    this.#versions = versions;
  }

  reportFailures(result: PassResult, gathered: GatheredObjects, failures: ReadonlyMap<string, WriteFailure>): void {
    for (const [uid, failure] of failures) {
      const object = gathered.objects.get(uid);
      const verdict = result.verdicts.get(uid);
      if (object && verdict) this.#tell(object, verdict, { result, failure, fields: addressField(object, verdict) });
    }
  }

  #tell(
    object: OwnObject,
    verdict: Verdict,
    { result, failure, fields }: Pick<Parameters<typeof reportOf>[0], 'failure' | 'fields'> & { result: PassResult },
  ): void {
    const generation = object.metadata.generation ?? 0;
    const installation = object.kind === 'MailServer' ? installationSynced(result) : null;
    const report = reportOf({ verdict, generation, failure, isPaused: isPaused(object), installation, fields });
    this.#foundation.board.report(object, directoryPart, report);
  }

  /** Changes with the password in force, and says nothing of it. */
  #credentialFields(
    { ref, facts }: Verdict,
    secrets: ReadonlyMap<string, SecretResource>,
    versions: Versions,
  ): Readonly<Record<string, unknown>> {
    if (facts.kind !== 'Mailbox') return {};
    const secret = secrets.get(`${ref.namespace}/${facts.secretName}`);
    if (!secret) return { credentialsVersion: undefined };
    const known = this.#versions.get(ref.uid);
    const version = known?.secret === secret ? known.version : this.#versionOf(secret, ref.uid);
    versions.set(ref.uid, { secret, version });
    return { credentialsVersion: version };
  }

  #versionOf({ spec }: SecretResource, uid: string): string {
    const { keyring } = this.#foundation;
    const text = JSON.stringify([...spec].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    return keyring.tag(keyring.activeId, text, `credentials version of ${uid}`).subarray(0, 9).toString('base64url');
  }
}

/** As it is in the database, once it is there. */
function addressField(object: OwnObject, { row, facts }: Verdict): Readonly<Record<string, unknown>> {
  if (facts.kind !== 'Mailbox' || !('address' in object.spec)) return {};
  return { address: row === null ? undefined : object.spec.address };
}

function installationSynced({ blocked }: PassResult): ConditionReport | null {
  return blocked && { type: 'Synced', status: 'False', reason: 'MassDetachBlocked', message: blocked.message };
}
