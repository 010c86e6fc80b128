/** Certificates from an ACME authority: had when there is none, and anew in good time; what is in use stays until then. */
import { X509Certificate } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import type { CertificateMaterial } from '#shared/directory/certificates.ts';
import type { RenewalWindow } from '#operator/acme/acme-client.ts';
import { AcmeProblem } from '#operator/acme/acme-problem.ts';
import { certificateId } from '#operator/acme/certificate-request.ts';
import type { MailDomain } from '#operator/api/mail-domain.ts';
import type { MailServer } from '#operator/api/mail-server.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import type { ConditionReport } from '#operator/status/condition.ts';
import { attemptOf, wishOf, type AcmeAccount, type AcmeAccounts } from './acme-account.ts';
import { stepOrder, type OrderStep } from './acme-order.ts';
import { putFailure, putIssued, putRenewal, readOrder, type StoredOrder } from './acme-orders.ts';
import { judgeFailure, momentWithin, pollMs, renewalTime } from './acme-schedule.ts';
import { acmeSecretName, publishCertificate, readAcmeSecret } from './acme-secret.ts';
import { judgeCertificate, type CheckedCertificate } from './certificate-policy.ts';
import type { Obtained } from './certificate-sources.ts';
import type { CertificateSubject } from './certificate-subject.ts';
import { instant } from './dkim-condition.ts';

export type AcmeSourceOptions = {
  readonly foundation: OperatorFoundation;
  readonly accounts: AcmeAccounts;
  readonly write: OrderStep['write'];
  /** Gives servers a certificate, in the transaction that ends its order. */
  readonly put: (tx: Kysely<Database>, certificate: CheckedCertificate) => Promise<unknown>;
  /** The row's, of this source. */
  readonly inUse: CertificateMaterial | null;
};

/** What is there, and by which wish it came. */
type Current = { readonly certificate: CheckedCertificate; readonly wish: string | null };

/** How often an authority is asked when it would like a renewal, where it does not say, and at the most and the least. */
const lookMs = { usual: 6 * 3600_000, least: 3600_000, most: 24 * 3600_000 };
const everyMs = 3600_000;
/** An order that is slow is looked at so often, whatever the authority says. */
const mostPollMs = 5 * 60_000;

export async function fromAcme(options: AcmeSourceOptions, subject: CertificateSubject): Promise<Obtained> {
  const { database, keyring, resources } = options.foundation;
  const { object, owner, hosts } = subject;
  const server = serverOf(options.foundation, object);
  const settings = server?.spec.acme;
  const stored = await readOrder(database.db, keyring, owner);
  const secret = resources.managedSecrets.get(object.metadata.namespace ?? '', acmeSecretName(object));
  const current = currentOf(options, subject, stored, readAcmeSecret(secret, object));
  if (!server || !settings) {
    const message = 'tls.mode is ACME, but the MailServer has no spec.acme';
    return told(subject, current, report('False', 'ACMENotConfigured', message));
  }
  const account = await options.accounts.of(server, settings);
  if ('reason' in account) return told(subject, current, report('False', account.reason, account.message));
  const wish = wishOf(settings, hosts);
  if (current?.wish === wish) {
    const renewal = await renewalOf(options, subject, { account, current, stored });
    if (renewal > options.foundation.clock.now()) return kept(options, subject, { current, wish, renewal });
  }
  return renewed(options, subject, { account, current, stored, wish });
}

type Situation = {
  readonly account: AcmeAccount;
  readonly current: Current | null;
  readonly stored: StoredOrder | null;
  readonly wish: string;
};

/** The certificate in use is good for a while. */
async function kept(
  { foundation: { client, resources, clock } }: AcmeSourceOptions,
  subject: CertificateSubject,
  { current, wish, renewal }: { readonly current: Current; readonly wish: string; readonly renewal: Date },
): Promise<Obtained> {
  const { object } = subject;
  const { certificate } = current;
  const secretName = acmeSecretName(object);
  const known = resources.managedSecrets.get(object.metadata.namespace ?? '', secretName);
  const isPublished = await publishCertificate(client, object, known, { material: certificate.material, wish });
  const { names, notAfter } = certificate;
  const message = `for ${names.slice(0, 5).join(', ')}, until ${instant(notAfter)}; renewed at ${instant(renewal)}`;
  const condition = isPublished
    ? report('True', 'Issued', message)
    : report('False', 'SecretNotOwned', `there is a Secret ${secretName} already that the operator did not make`);
  const afterMs = Math.min(everyMs, Math.max(1_000, renewal.getTime() - clock.now().getTime()));
  return { source: 'acme', certificate, condition, secretName, renewal, afterMs };
}

/** There is none, or it is time for another. */
async function renewed(
  options: AcmeSourceOptions,
  subject: CertificateSubject,
  situation: Situation,
): Promise<Obtained> {
  const { foundation, write, put } = options;
  const { clock, keyring, logger } = foundation;
  const { owner, hosts } = subject;
  const { account, current, stored, wish } = situation;
  const attempt = attemptOf(account, hosts);
  const waiting = stillWaiting(stored, attempt, clock.now());
  if (waiting) return failed(options, subject, { current, ...waiting });
  const replaces = current?.wish === wish ? certificateId(current.certificate.material.certificate) : null;
  try {
    const progress = await stepOrder({ account, keyring, write, owner, attempt, hosts, stored, replaces });
    if (progress.kind === 'waiting') {
      const isSame = stored?.order && stored.attempt === attempt;
      const ageMs = isSame ? clock.now().getTime() - stored.since.getTime() : 0;
      const condition = report('False', 'Issuing', progress.message);
      return {
        ...told(subject, current, condition),
        afterMs: Math.max(pollMs(ageMs), Math.min(mostPollMs, progress.retryAfterMs)),
      };
    }
    const issued = usable(progress.material, hosts, clock.now());
    if (typeof issued === 'string') throw unusable(issued);
    await write(async (tx) => {
      await put(tx, issued);
      await putIssued(tx, owner, wish);
    });
    logger.info({ event: 'acme.issued', owner, names: issued.names }, 'a certificate was had by ACME');
    const renewal = renewalTime(spanOf(issued), null);
    return await kept(options, subject, { current: { certificate: issued, wish }, wish, renewal });
  } catch (error) {
    return fail(options, subject, { ...situation, attempt }, error);
  }
}

async function fail(
  options: AcmeSourceOptions,
  subject: CertificateSubject,
  { account, current, stored, attempt }: Situation & { readonly attempt: string },
  error: unknown,
): Promise<Obtained> {
  const { clock, logger } = options.foundation;
  const { owner } = subject;
  const before = stored?.attempt === attempt ? stored.failedAttempts : 0;
  const failure = judgeFailure(error, before);
  if (failure === null) throw error;
  account.hear(error);
  const { problem, isOver, waitMs } = failure;
  const nextAttempt = new Date(clock.now().getTime() + waitMs);
  const failedAttempts = before + 1;
  await options.write((tx) => putFailure(tx, owner, { attempt, isOver, failedAttempts, nextAttempt, problem }));
  logger.warn({ event: 'acme.failed', owner, reason: problem.reason, err: error }, 'no certificate was had by ACME');
  return failed(options, subject, { current, problem, failedAttempts, nextAttempt });
}

type Waiting = Pick<StoredOrder, 'failedAttempts'> & {
  readonly problem: NonNullable<StoredOrder['problem']>;
  readonly nextAttempt: Date;
};

/** Null: the authority may be asked. A new attempt waits for nothing but the authority's own limit. */
function stillWaiting(stored: StoredOrder | null, attempt: string, now: Date): Waiting | null {
  if (!stored?.nextAttempt || !stored.problem || stored.nextAttempt <= now) return null;
  const { problem, nextAttempt, failedAttempts } = stored;
  return stored.attempt === attempt || problem.isLimit ? { problem, nextAttempt, failedAttempts } : null;
}

function failed(
  { foundation: { clock } }: AcmeSourceOptions,
  subject: CertificateSubject,
  { current, problem, failedAttempts, nextAttempt }: Waiting & { readonly current: Current | null },
): Obtained {
  const message = `${problem.message}; tried again at ${instant(nextAttempt)}`;
  const condition = report('False', problem.reason, message);
  const afterMs = Math.min(everyMs, Math.max(1_000, nextAttempt.getTime() - clock.now().getTime()));
  return { ...told(subject, current, condition), failedAttempts, nextAttempt, afterMs };
}

/** As long as one can be used, the condition holds, and says what is amiss. */
function told({ object }: CertificateSubject, current: Current | null, condition: ConditionReport): Obtained {
  const certificate = current?.certificate ?? null;
  const secretName = acmeSecretName(object);
  if (certificate === null) return { source: 'acme', certificate, condition, secretName };
  const message = `the one in use ends at ${instant(certificate.notAfter)}; ${condition.message}`;
  return { source: 'acme', certificate, condition: { ...condition, status: 'True', message }, secretName };
}

/** The row's, else what the Secret still has. */
function currentOf(
  { inUse, foundation: { clock } }: AcmeSourceOptions,
  { hosts }: CertificateSubject,
  stored: StoredOrder | null,
  published: ReturnType<typeof readAcmeSecret>,
): Current | null {
  const fromRow = inUse === null ? null : usable(inUse, hosts, clock.now());
  if (fromRow !== null && typeof fromRow !== 'string')
    return { certificate: fromRow, wish: stored?.issuedWish ?? null };
  const fromSecret = published === null ? null : usable(published.material, hosts, clock.now());
  if (published === null || fromSecret === null || typeof fromSecret === 'string') return null;
  return { certificate: fromSecret, wish: published.wish };
}

/** When to renew: as the authority would like it (RFC 9773), which is looked up now and then. */
async function renewalOf(
  { foundation, write }: AcmeSourceOptions,
  { owner }: CertificateSubject,
  { account, current, stored }: Omit<Situation, 'wish' | 'current'> & { readonly current: Current },
): Promise<Date> {
  const { clock, logger } = foundation;
  const { certificate } = current;
  const now = clock.now();
  const { at, lookAt } = stored?.renewal ?? { at: null, lookAt: null };
  if (stored === null || (lookAt !== null && lookAt > now)) return renewalTime(spanOf(certificate), at);
  const pem = certificate.material.certificate;
  const id = certificateId(pem);
  const window =
    id === null
      ? null
      : await askWindow(account, id).catch((err: unknown) => {
          account.hear(err);
          logger.debug({ event: 'acme.renewal', owner, err }, 'the authority did not say when it would like a renewal');
          return null;
        });
  const wanted = window ? momentWithin(window, new X509Certificate(pem).serialNumber) : null;
  const pauseMs = Math.min(lookMs.most, Math.max(lookMs.least, window?.retryAfterMs ?? lookMs.usual));
  await write((tx) => putRenewal(tx, owner, { at: wanted, lookAt: new Date(now.getTime() + pauseMs) }));
  return renewalTime(spanOf(certificate), wanted);
}

async function askWindow(account: AcmeAccount, id: string): Promise<RenewalWindow | null> {
  account.assertThere();
  return account.client.renewalWindow(id);
}

function spanOf({ material, notAfter }: CheckedCertificate): { readonly from: Date; readonly to: Date } {
  return { from: new X509Certificate(material.certificate).validFromDate, to: notAfter };
}

/** A text: why it can't be used. */
function usable(
  { certificate, privateKey }: CertificateMaterial,
  hosts: readonly string[],
  now: Date,
): CheckedCertificate | string {
  const data = {
    'tls.crt': Buffer.from(certificate).toString('base64'),
    'tls.key': Buffer.from(privateKey).toString('base64'),
  };
  const verdict = judgeCertificate({ type: 'kubernetes.io/tls', data }, { kind: 'hosts', hosts }, now);
  return verdict.kind === 'good' ? verdict.certificate : verdict.fault.message;
}

function unusable(why: string): AcmeProblem {
  const detail = `the certificate that was issued can't be used: ${why}`;
  return new AcmeProblem({ type: '', detail, subproblems: [] }, { step: 'certificate' });
}

/** Whose authority it is: its own, or that of the domain's MailServer. */
function serverOf({ resources }: OperatorFoundation, object: MailServer | MailDomain): MailServer | undefined {
  if (object.kind === 'MailServer') return resources.servers.byUid(object.metadata.uid);
  const { name, namespace = object.metadata.namespace ?? '' } = (object as MailDomain).spec.serverRef;
  return resources.servers.get(namespace, name);
}

function report(status: ConditionReport['status'], reason: string, message: string): ConditionReport {
  return { type: 'CertificateReady', status, reason, message: message.slice(0, 1024) };
}
