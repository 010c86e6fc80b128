import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from '@peculiar/x509';
import { expect, test } from 'vitest';
import { makeAuthority } from '../../test/harness/certificates.ts';
import { waitOf } from './acme-http.ts';
import { certificateId, certificateRequest, derInteger } from './certificate-request.ts';
import { bound, newPrivateKey, readAccountKey, signed } from './jws.ts';

test('a request is signed with the key, and has the names in the extension alone', async () => {
  const request = new Pkcs10CertificateRequest(await certificateRequest(newPrivateKey(), ['mail.a.test', 'b.test']));
  expect(await request.verify()).toBe(true);
  expect(request.subject).toBe('');
  const extension = request.getExtension('2.5.29.17')?.rawData ?? new ArrayBuffer(0);
  expect(new SubjectAlternativeNameExtension(extension).names.toJSON()).toEqual([
    { type: 'dns', value: 'mail.a.test' },
    { type: 'dns', value: 'b.test' },
  ]);
});

test('serial numbers are as DER has them (RFC 9773 section 4.1: the example’s serial begins with a zero byte)', () => {
  expect(Buffer.from(derInteger('87654321'), 'hex').toString('base64url')).toBe('AIdlQyE');
  expect(Buffer.from(derInteger('0087654321'), 'hex').toString('base64url')).toBe('AIdlQyE');
  expect(derInteger('7F')).toBe('7F');
  expect(derInteger('0')).toBe('00');
  expect(derInteger('ABC')).toBe('0ABC');
});

test('a certificate that does not name its issuer’s key has no identifier', async () => {
  const { cert } = await (await makeAuthority('Somebody')).issue(['a.test']);
  expect(new X509Certificate(cert).serialNumber).not.toBe('');
  expect(certificateId(cert)).toBeNull();
});

test('an account’s key is a P-256 key, and its public half says nothing of the private one', () => {
  const { jwk, thumbprint } = readAccountKey(newPrivateKey());
  expect(Object.keys(jwk)).toEqual(['crv', 'kty', 'x', 'y']);
  expect(thumbprint).toMatch(/^[\w-]{43}$/);
  expect(() => readAccountKey('nonsense')).toThrow();
});

test('a request without a payload is a POST-as-GET (RFC 8555 section 6.3), and a binding names its key', () => {
  const key = readAccountKey(newPrivateKey());
  const jws = signed(key, { nonce: 'n', url: 'https://a.test/x', kid: 'k' }, null);
  expect(jws.payload).toBe('');
  expect(JSON.parse(Buffer.from(jws.protected, 'base64url').toString())).toEqual({
    alg: 'ES256',
    nonce: 'n',
    url: 'https://a.test/x',
    kid: 'k',
  });
  expect(Buffer.from(jws.signature, 'base64url')).toHaveLength(64);
  const binding = bound({ keyId: 'outer', hmacKey: Buffer.from('secret') }, key, 'https://a.test/new');
  expect(JSON.parse(Buffer.from(binding.protected, 'base64url').toString())).toEqual({
    alg: 'HS256',
    kid: 'outer',
    url: 'https://a.test/new',
  });
  expect(JSON.parse(Buffer.from(binding.payload, 'base64url').toString())).toEqual(key.jwk);
});

test.each([
  [null, null],
  ['120', 120_000],
  ['Sat, 21 Nov 2026 12:01:00 GMT', 60_000],
  ['Sat, 21 Nov 2026 11:00:00 GMT', 0],
  ['999999999', 7 * 24 * 3600_000],
  ['soon', null],
])('Retry-After %s', (header, expected) => {
  expect(waitOf(header, Date.parse('2026-11-21T12:00:00Z'))).toBe(expected);
});
