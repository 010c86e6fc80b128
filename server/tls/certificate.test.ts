import { X509Certificate } from 'node:crypto';
import { mkdtemp, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { createMetrics } from '#shared/observe/metrics.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { Certificate, type CertificateOptions } from './certificate.ts';
import { makeSelfSigned } from './self-signed.ts';

const start = new Date('2026-11-21T00:00:00Z');
const day = 24 * 60 * 60 * 1000;
let now = start;
let directory = '';
const clock = { now: () => now, monotonicMs: () => 0 };

beforeEach(async () => {
  now = start;
  directory = await mkdtemp(path.join(os.tmpdir(), 'tls-'));
});

function options(more: Partial<CertificateOptions> = {}): CertificateOptions {
  const names = ['mail.example.org', '127.0.0.1'] as const;
  return { files: null, directory, names, clock, logger: silentLogger, metrics: createMetrics(), ...more };
}

const serial = (certificate: Certificate) => new X509Certificate(certificate.context.material.certificate).serialNumber;

test('a self-signed certificate is made once, for the names asked for', async () => {
  using first = await Certificate.open(options());
  using second = await Certificate.open(options());
  const made = new X509Certificate(first.context.material.certificate);
  expect(made.checkHost('mail.example.org')).toBe('mail.example.org');
  expect(made.checkIP('127.0.0.1')).toBe('127.0.0.1');
  expect(made.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
  expect(serial(second)).toBe(serial(first));
  expect((await stat(path.join(directory, 'self-signed.key'))).mode & 0o777).toBe(0o600);
});

test('it is renewed before its end, while the program runs', async () => {
  const metrics = createMetrics();
  using certificate = await Certificate.open(options({ metrics }));
  const before = serial(certificate);
  now = new Date(start.getTime() + 300 * day);
  await certificate.refresh();
  expect(serial(certificate)).toBe(before);
  now = new Date(start.getTime() + 370 * day);
  await certificate.refresh();
  expect(serial(certificate)).not.toBe(before);
  expect((await metrics.certificateExpiry.get()).values[0]?.value).toBe((now.getTime() + 397 * day) / 1000);
});

test('another host name makes another certificate', async () => {
  using first = await Certificate.open(options());
  using second = await Certificate.open(options({ names: ['imap.example.org'] }));
  expect(serial(second)).not.toBe(serial(first));
});

async function writeFiles(name: string, files: { certificate: string; privateKey: string }): Promise<void> {
  const material = await makeSelfSigned([name], start);
  await writeFile(files.certificate, material.certificate);
  await writeFile(files.privateKey, material.privateKey);
}

test('files are read again when they change, and a pair that does not match is not taken', async () => {
  const files = { certificate: path.join(directory, 'tls.crt'), privateKey: path.join(directory, 'tls.key') };
  await writeFiles('one.example.org', files);
  using certificate = await Certificate.open(options({ files }));
  const one = serial(certificate);
  await writeFile(files.certificate, (await makeSelfSigned(['two.example.org'], start)).certificate);
  await certificate.refresh();
  expect(serial(certificate)).toBe(one);
  await writeFiles('two.example.org', files);
  await certificate.refresh();
  expect(serial(certificate)).not.toBe(one);
});

test('files that are missing or no certificate end the program with 78 and what to do', async () => {
  const files = { certificate: path.join(directory, 'tls.crt'), privateKey: path.join(directory, 'tls.key') };
  await expect(Certificate.open(options({ files }))).rejects.toThrow(/tls\.crt can't be read \(ENOENT\)/);
  await writeFile(files.certificate, 'nonsense');
  await writeFile(files.privateKey, 'nonsense');
  const fault = await Certificate.open(options({ files })).catch((error: unknown) => error);
  expect(fault).toBeInstanceOf(ProgramFault);
  expect(fault).toMatchObject({ exitCode: 78, message: expect.stringContaining('are no certificate and its key') });
});
