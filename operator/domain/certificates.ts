/**
 * Follows the certificate of each MailServer and MailDomain: obtains it, checks it, and puts it into the database, from
 * where servers take it. One that can't be used never takes the place of one that can.
 */
import type { Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import {
  openCertificate,
  putCertificate,
  removeCertificate,
  type CertificateMaterial,
} from '#shared/directory/certificates.ts';
import { removeExpiredChallenges } from '#shared/directory/acme-challenges.ts';
import type { CertificateSource } from '#shared/db/domain-tables.ts';
import { assertEpoch } from '#shared/reconcile/leader-epoch.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import { ownershipNow } from '#operator/foundation/ownership.ts';
import type { ReconcileResult } from '#operator/kube/controller.ts';
import type { ConditionReport } from '#operator/status/condition.ts';
import type { AcmeAccounts } from './acme-account.ts';
import { removeOrder } from './acme-orders.ts';
import { fromAcme } from './acme-source.ts';
import type { ManagedCertificate } from './cert-manager.ts';
import { certificateNames, managedCertificates } from './cert-manager.ts';
import type { CheckedCertificate } from './certificate-policy.ts';
import {
  fromAuthority,
  fromCertManager,
  fromSecret,
  type Obtained,
  type SourceOptions,
} from './certificate-sources.ts';
import { subjectOf, type CertificateSubject } from './certificate-subject.ts';
import { instant } from './dkim-condition.ts';
import { readDomainRow } from './domain-rows.ts';
import type { OptionalKind } from './optional-kind.ts';

/** Ends are days away, and changes of Secrets are heard of. */
const everyMs = 3600_000;
const startingMs = 300;
/** A kind that the cluster gets is noticed after so long; so is a right that the operator gets. */
const troubledEveryMs = 15_000;

export class Certificates {
  readonly #foundation: OperatorFoundation;
  readonly #kind: OptionalKind<ManagedCertificate>;
  readonly #accounts: AcmeAccounts;

  constructor(foundation: OperatorFoundation, kind: OptionalKind<ManagedCertificate>, accounts: AcmeAccounts) {
    this.#foundation = foundation;
    this.#kind = kind;
    this.#accounts = accounts;
  }

  /** Keys of rows whose resource is gone. None where there is no MailServer: that cluster is not the database's. */
  async orphans(): Promise<readonly string[]> {
    const { resources, database } = this.#foundation;
    if (resources.servers.items().length === 0) return [];
    const rows = await database.db.selectFrom('certificate').select('owner').execute();
    const uids = new Set(
      [...resources.servers.items(), ...resources.domains.items()].map(({ metadata }) => metadata.uid),
    );
    return rows.flatMap(({ owner }) => (uids.has(owner.slice(owner.indexOf('/') + 1)) ? [] : [owner]));
  }

  /** Forgets orders that nobody waits for any more, and answers that nobody will ask for. */
  async forgetOrders(): Promise<void> {
    const { resources, database } = this.#foundation;
    if (resources.servers.items().length === 0) return;
    const rows = await database.db.selectFrom('acme_order').select('owner').execute();
    if (rows.length === 0) return;
    const wanting = new Set(
      [...resources.servers.items(), ...resources.domains.items()].flatMap(({ spec, metadata }) =>
        spec.tls?.mode === 'ACME' ? [metadata.uid] : [],
      ),
    );
    const gone = rows.filter(({ owner }) => !wanting.has(owner.slice(owner.indexOf('/') + 1)));
    await this.#write(async (tx) => {
      for (const { owner } of gone) await removeOrder(tx, owner);
      await removeExpiredChallenges(tx);
    });
  }

  /** `key`: kind and UID. */
  async reconcile(key: string): Promise<ReconcileResult | void> {
    const { resources } = this.#foundation;
    const uid = key.slice(key.indexOf('/') + 1);
    const object = key.startsWith('MailServer/') ? resources.servers.byUid(uid) : resources.domains.byUid(uid);
    if (object === undefined) return this.#remove(key);
    if (!ownershipNow(this.#foundation)(object)) return;
    const subject = object.metadata.deletionTimestamp === undefined ? subjectOf(object) : null;
    if (subject === null) return;
    const { mode } = subject.wish;
    await this.#removeRequest(subject);
    if (mode === 'Server' || mode === 'None') {
      await this.#remove(subject.owner);
      this.#report(subject, { condition: notOurs(mode) });
      return;
    }
    if (!(await this.#isAccepted(subject))) {
      // It may have been accepted before it was another's.
      await this.#remove(subject.owner);
      const message = 'no certificate is asked for before the domain is accepted';
      this.#report(subject, { condition: condition('Unknown', 'DomainNotAccepted', message) });
      return;
    }
    const obtained = await this.#obtain(subject);
    if (obtained === 'starting') return { afterMs: startingMs };
    if (obtained.certificate) await this.#put(subject, obtained.source, obtained.certificate);
    this.#report(subject, obtained);
    return { afterMs: obtained.afterMs ?? (obtained.condition.status === 'True' ? everyMs : troubledEveryMs) };
  }

  async #obtain(subject: CertificateSubject): Promise<Obtained | 'starting'> {
    const { client, resources, namespace, clock } = this.#foundation;
    const options: SourceOptions = { client, caches: resources, certificates: this.#kind, namespace, clock };
    switch (subject.wish.mode) {
      case 'Secret':
        return fromSecret(options, subject, subject.wish.secretName);
      case 'CertManager':
        return fromCertManager(options, subject, subject.wish.issuerRef);
      case 'ACME':
        return this.#obtainByAcme(subject);
      default:
        return fromAuthority(options, subject, await this.#inUse(subject.owner, 'self-signed'));
    }
  }

  /** Whoever may make a MailDomain may not thereby have certificates for domains of others, or show theirs. */
  async #isAccepted({ object }: CertificateSubject): Promise<boolean> {
    if (object.kind === 'MailServer') return true;
    return (await readDomainRow(this.#foundation.database.db, object.metadata.uid)) !== null;
  }

  async #inUse(owner: string, source: CertificateSource): Promise<CertificateMaterial | null> {
    const { database, keyring } = this.#foundation;
    const row = await database.db
      .selectFrom('certificate')
      .select(['material', 'seal_key_id', 'source'])
      .where('owner', '=', owner)
      .executeTakeFirst();
    if (row?.source !== source) return null;
    try {
      return openCertificate(keyring, owner, { keyId: row.seal_key_id, bytes: row.material });
    } catch {
      // Sealed with a key that is gone: another one is made.
      return null;
    }
  }

  async #put(subject: CertificateSubject, source: CertificateSource, checked: CheckedCertificate): Promise<void> {
    await this.#write((tx) => this.#putInto(tx, subject, source, checked));
  }

  async #putInto(
    tx: Kysely<Database>,
    subject: CertificateSubject,
    source: CertificateSource,
    { material, names, notAfter }: CheckedCertificate,
  ): Promise<void> {
    const { keyring, logger } = this.#foundation;
    const { object, owner, isDefault, demand } = subject;
    const { namespace = '', name } = object.metadata;
    const own = demand.kind === 'within' ? names.filter((each) => isWithin(each, demand.domain)) : names;
    const resourceName = `${namespace}/${name}`;
    const stored = { owner, resourceName, source, names: own, isDefault, notAfter, material };
    if (await putCertificate(tx, keyring, stored)) {
      logger.info({ event: 'tls.stored', owner, names: own, source }, 'servers are given a certificate');
    }
  }

  /** A Certificate that was asked for and is not wanted any more. */
  async #removeRequest({ object, wish }: CertificateSubject): Promise<void> {
    if (wish.mode === 'CertManager') return;
    const { namespace = '', uid } = object.metadata;
    const at = { namespace, name: certificateNames(object).object };
    const known = this.#kind.get(namespace, at.name);
    if (known?.metadata.ownerReferences?.some((owner) => owner.uid === uid) !== true) return;
    await this.#foundation.client.delete(managedCertificates, at, { uid: known.metadata.uid });
  }

  /** Nothing is written, and no server told of it, where there is none. */
  async #remove(owner: string): Promise<void> {
    const { db } = this.#foundation.database;
    const row = await db.selectFrom('certificate').select('id').where('owner', '=', owner).executeTakeFirst();
    if (row !== undefined) await this.#write((tx) => removeCertificate(tx, owner));
  }

  async #obtainByAcme(subject: CertificateSubject): Promise<Obtained> {
    const options = {
      foundation: this.#foundation,
      accounts: this.#accounts,
      write: <T>(work: (tx: Kysely<Database>) => Promise<T>) => this.#write(work),
      put: (tx: Kysely<Database>, checked: CheckedCertificate) => this.#putInto(tx, subject, 'acme', checked),
      inUse: await this.#inUse(subject.owner, 'acme'),
    };
    return fromAcme(options, subject);
  }

  #write<T>(work: (tx: Kysely<Database>) => Promise<T>): Promise<T> {
    const { database, epoch } = this.#foundation;
    return transact(database.db, async (tx) => {
      await assertEpoch(tx, epoch);
      return work(tx);
    });
  }

  #report(subject: CertificateSubject, found: Partial<Obtained> & Pick<Obtained, 'condition'>): void {
    const { board, metrics } = this.#foundation;
    const { object, wish } = subject;
    const { certificate, secretName, failedAttempts = 0, nextAttempt, renewal } = found;
    const { namespace = '', name } = object.metadata;
    if (certificate) {
      const labels = { kind: object.kind, resource_namespace: namespace, name };
      metrics.certificateExpiry.set(labels, certificate.notAfter.getTime() / 1000);
    }
    const before = object.status?.tls;
    board.report(object, 'tls', {
      generation: object.metadata.generation ?? 0,
      conditions: [found.condition],
      fields: {
        tls: {
          mode: wish.mode,
          ...(secretName !== undefined && { secretName }),
          ...(certificate
            ? { names: certificate.names, notAfter: instant(certificate.notAfter) }
            : secretName !== undefined && before?.notAfter !== undefined
              ? { names: before.names ?? [], notAfter: before.notAfter }
              : {}),
          ...(renewal && { renewalTime: instant(renewal) }),
          ...(failedAttempts > 0 && { failedAttempts }),
          ...(failedAttempts > 0 && nextAttempt && { nextAttemptTime: instant(nextAttempt) }),
        },
      },
    });
  }
}

function isWithin(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}

function notOurs(mode: 'Server' | 'None'): ConditionReport {
  return mode === 'Server'
    ? condition('True', 'FromServer', "clients see the MailServer's certificate")
    : condition('True', 'NotManaged', 'the servers have files of their own');
}

function condition(status: ConditionReport['status'], reason: string, message: string): ConditionReport {
  return { type: 'CertificateReady', status, reason, message };
}
