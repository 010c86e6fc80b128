import { beforeAll, expect, test } from 'vitest';
import { makeAuthority as testAuthority, type Authority } from '../../test/harness/certificates.ts';
import type { Secret } from '#operator/kube/core-resources.ts';
import { issue, makeAuthority } from './authority.ts';
import { judgeIssuance, type ManagedCertificate } from './cert-manager.ts';
import { judgeCertificate, namesOf, type Demand } from './certificate-policy.ts';
import { X509Certificate } from 'node:crypto';

const now = new Date();
const host: Demand = { kind: 'hosts', hosts: ['mail.a.test'] };
const within: Demand = { kind: 'within', domain: 'a.test' };
let authority: Authority;
beforeAll(async () => {
  authority = await testAuthority('Somebody');
});

function secret(chain: string, key: string, type = 'kubernetes.io/tls'): Secret {
  const data = Object.fromEntries(
    [
      ['tls.crt', chain],
      ['tls.key', key],
    ]
      .filter(([, text]) => text !== '')
      .map(([name = '', text = '']) => [name, Buffer.from(text).toString('base64')]),
  );
  const metadata = { name: 's', namespace: 'n', uid: 'u', resourceVersion: '1', creationTimestamp: '' };
  return { apiVersion: 'v1', kind: 'Secret', metadata, type, data };
}

async function judged(names: readonly string[], demand: Demand, days = 30): Promise<string> {
  const { cert, key } = await authority.issue(names, days);
  const verdict = judgeCertificate(secret(cert, key), demand, now);
  if (verdict.kind === 'bad') return `${verdict.fault.reason}: ${verdict.fault.message.replace(/\d{4}-.*/, '…')}`;
  return `${verdict.isEndingSoon ? 'soon ' : ''}${verdict.certificate.names.join(' ')}`;
}

test.each<[readonly string[], Demand, number, string]>([
  [['mail.a.test'], host, 30, 'mail.a.test'],
  [['*.a.test', 'Mail.B.test'], host, 30, '*.a.test mail.b.test'],
  [['mail.a.test'], host, 6, 'soon mail.a.test'],
  [['mail.a.test'], host, -1, 'Expired: the certificate ended at …'],
  [['mail.b.test'], host, 30, 'SecretInvalid: its certificate is for mail.b.test, not for mail.a.test'],
  [['*.mail.a.test'], host, 30, 'SecretInvalid: its certificate is for *.mail.a.test, not for mail.a.test'],
  [['imap.a.test'], within, 30, 'imap.a.test'],
  [['a.test'], within, 30, 'a.test'],
  [['nota.test'], within, 30, 'SecretInvalid: its certificate is for nota.test, for no host of a.test'],
  // What ended and is for others besides: the names come first, since a new one would not help.
  [['mail.b.test'], host, -1, 'SecretInvalid: its certificate is for mail.b.test, not for mail.a.test'],
])('%j for %j with %i days left', async (names, demand, days, expected) => {
  expect(await judged(names, demand, days)).toBe(expected);
});

test('what is no certificate with its key', async () => {
  const { cert, key } = await authority.issue(['mail.a.test']);
  const fault = (one: Secret): string => {
    const verdict = judgeCertificate(one, host, now);
    return verdict.kind === 'bad' ? verdict.fault.message : 'good';
  };
  expect(fault(secret(cert, key, 'Opaque'))).toBe('it is of type Opaque, not kubernetes.io/tls');
  expect(fault(secret('', key))).toBe('it has no tls.crt');
  expect(fault(secret(cert, ''))).toBe('it has no tls.key');
  expect(fault(secret('nonsense', key))).toBe('its tls.crt is no certificate in PEM');
  expect(fault(secret(cert, 'nonsense'))).toBe('its tls.key is no private key in PEM');
  expect(fault(secret(cert, authority.key))).toBe('its tls.key is not the key of its tls.crt');
  expect(fault(secret(cert, key))).toBe('good');
});

test('our own authority signs what clients who trust it believe', async () => {
  const own = await makeAuthority('Postrider', now);
  const leaf = await issue(own, ['mx.server.test'], now);
  const verdict = judgeCertificate(
    secret(leaf.certificate, leaf.privateKey),
    { kind: 'hosts', hosts: ['mx.server.test'] },
    now,
  );
  expect(verdict).toMatchObject({ kind: 'good', isEndingSoon: false });
  const [certificate, root] = [new X509Certificate(leaf.certificate), new X509Certificate(own.certificate)];
  expect(certificate.checkIssued(root) && certificate.verify(root.publicKey)).toBe(true);
  expect([root.ca, certificate.ca, namesOf(certificate)]).toEqual([true, false, ['mx.server.test']]);
  expect(leaf.certificate.endsWith(own.certificate)).toBe(true);
  const days = (certificate.validToDate.getTime() - now.getTime()) / 86_400_000;
  expect(days).toBeCloseTo(90, 1);
});

function asked(status: ManagedCertificate['status']): ManagedCertificate {
  return {
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: { name: 'c', namespace: 'n', uid: 'u', resourceVersion: '1', generation: 2, creationTimestamp: '' },
    spec: { secretName: 's', dnsNames: ['mail.a.test'], issuerRef: { name: 'i', kind: 'Issuer', group: 'g' } },
    ...(status && { status }),
  };
}
const ready = { type: 'Ready', status: 'True', observedGeneration: 2 };
const failing = { type: 'Issuing', status: 'False', reason: 'Failed', message: 'order is invalid' };

test.each<[string, ManagedCertificate['status'], boolean | null, string]>([
  ['nothing said yet', undefined, null, 'Issuing: waiting for cert-manager: it has not taken it up yet'],
  ['ready', { conditions: [ready] }, null, 'issued'],
  ['ready for what was asked before', { conditions: [{ ...ready, observedGeneration: 1 }] }, null, 'Issuing'],
  ['no issuer', {}, false, 'IssuerNotFound: there is no Issuer i'],
  [
    'failed once',
    { conditions: [failing], failedIssuanceAttempts: 1 },
    true,
    'IssuanceFailed: 1 attempt failed: order is invalid',
  ],
])('of cert-manager: %s', (_, status, isIssuerThere, expected) => {
  const { condition } = judgeIssuance(asked(status), isIssuerThere);
  expect(condition === null ? 'issued' : `${condition.reason}: ${condition.message}`).toContain(expected);
});

test.each([
  [1, '2026-11-21T01:00:00.000Z'],
  [3, '2026-11-21T04:00:00.000Z'],
  [40, '2026-11-22T08:00:00.000Z'],
])('after %i failures cert-manager waits until %s', (failedIssuanceAttempts, expected) => {
  const { nextAttempt } = judgeIssuance(
    asked({ failedIssuanceAttempts, lastFailureTime: '2026-11-21T00:00:00Z' }),
    null,
  );
  expect(nextAttempt?.toISOString()).toBe(expected);
});
