/**
 * The certificates in use. One is our own: files that someone else keeps up to date (cert-manager writes them into a
 * Secret's volume), or a self-signed one in the data folder. Either is looked at once a minute, and put to use
 * without a restart when it changed or is about to end. Beside it are those of the database, by the names that clients ask
 * for; they come before a self-signed one and after files.
 */
import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { Clock } from '#shared/base/clock.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import { TlsContext, type TlsMaterial } from '#server/wire/tls-context.ts';
import type { UsableCertificate } from './certificate-rows.ts';
import { makeSelfSigned } from './self-signed.ts';
import type { TicketKeys } from './ticket-keys.ts';

export type CertificateOptions = {
  /** Certificate and key in PEM; null: self-signed. */
  readonly files: { readonly certificate: string; readonly privateKey: string } | null;
  /** Where a self-signed certificate is kept, and the names it is made for. */
  readonly directory: string;
  readonly names: readonly [string, ...string[]];
  /** The files are the self-signed certificate of the process that started this one; see `files`. */
  readonly isLastResort?: boolean;
  /** Shared with those who are to resume our sessions; without it nobody else can. */
  readonly ticketKeys?: TicketKeys;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** How often files are looked at, in ms. */
  readonly checkMs?: number;
};

const dayMs = 24 * 60 * 60 * 1000;
/** A self-signed certificate is replaced this long before its end. */
const renewBeforeMs = 30 * dayMs;

export class Certificate implements Disposable {
  readonly context: TlsContext;
  readonly #options: CertificateOptions;
  readonly #timer: NodeJS.Timeout;
  #ticketKeys: Buffer | null;
  #usable: readonly UsableCertificate[] = [];

  private constructor(material: TlsMaterial, options: CertificateOptions) {
    this.#options = options;
    this.#ticketKeys = options.ticketKeys?.() ?? null;
    const isLast = options.files === null || options.isLastResort === true;
    this.context = new TlsContext(material, this.#ticketKeys, isLast ? 'last' : 'first');
    this.#publish();
    this.#timer = setInterval(() => void this.refresh(), options.checkMs ?? 60_000);
    this.#timer.unref();
  }

  /** ProgramFault 78 when the files can't be read or don't belong together. */
  static async open(options: CertificateOptions): Promise<Certificate> {
    const material = options.files ? await readFiles(options.files) : await selfSigned(options);
    try {
      return new Certificate(material, options);
    } catch (error) {
      const { certificate, privateKey } = options.files ?? selfSignedFiles(options.directory);
      throw new ProgramFault(
        78,
        `${certificate} and ${privateKey} are no certificate and its key: ${(error as Error).message}`,
        options.files
          ? 'Point SSL_CERT_FILE and SSL_KEY_FILE at PEM files of one certificate.'
          : 'Delete both files; new ones are made at the next start.',
        { cause: error },
      );
    }
  }

  /** Those of the database that are usable now. */
  readonly takeNamed = (usable: readonly UsableCertificate[]): void => {
    this.context.replaceNamed(usable);
    this.#usable = usable;
    this.#publish();
  };

  /** When our own certificate ends. */
  get expires(): Date {
    return new X509Certificate(this.context.material.certificate).validToDate;
  }

  /** Takes up changed files, or renews; on failure the certificate in use stays, and the log says so. */
  async refresh(): Promise<void> {
    const { files, logger } = this.#options;
    try {
      const material = files ? await readFiles(files) : await selfSigned(this.#options);
      const ticketKeys = this.#options.ticketKeys?.() ?? null;
      const isSame = material.certificate.toString() === this.context.material.certificate.toString();
      if (isSame && isDeepStrictEqual(ticketKeys, this.#ticketKeys)) return;
      this.context.replace(material, ticketKeys);
      this.#ticketKeys = ticketKeys;
      if (isSame) return;
      this.#publish();
      logger.info({ event: 'tls.replaced', expires: this.expires }, 'certificate replaced');
    } catch (err) {
      // A certificate and its key are two files: between two writes they don't match, and soon will.
      logger.warn({ event: 'tls.refused', err }, 'the new certificate is not usable; the old one stays');
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #publish(): void {
    const { metrics } = this.#options;
    const own = this.context.isOwnInUse ? [this.expires] : [];
    const ends = [...own, ...this.#usable.map(({ expires }) => expires)].map((date) => date.getTime());
    metrics.certificateExpiry.set(Math.min(...ends) / 1000);
    metrics.certificates.set(this.#usable.length);
  }
}

async function readFiles(files: { readonly certificate: string; readonly privateKey: string }): Promise<TlsMaterial> {
  try {
    return {
      certificate: await readFile(files.certificate, 'utf8'),
      privateKey: await readFile(files.privateKey, 'utf8'),
    };
  } catch (error) {
    const { path: file, code } = error as NodeJS.ErrnoException;
    throw new ProgramFault(
      78,
      `the certificate's file ${file} can't be read (${code})`,
      'Name files that this user may read in SSL_CERT_FILE and SSL_KEY_FILE.',
      { cause: error },
    );
  }
}

/** Where a self-signed certificate and its key are kept. */
export function selfSignedFiles(directory: string) {
  return {
    certificate: path.join(directory, 'self-signed.crt'),
    privateKey: path.join(directory, 'self-signed.key'),
  } as const;
}

/** The kept one while it is good for these names and not near its end; else a new one, kept. */
async function selfSigned(options: CertificateOptions): Promise<TlsMaterial> {
  const files = selfSignedFiles(options.directory);
  const kept = await readKept(files);
  if (kept !== null && isGood(kept, options)) return kept;
  const material = await makeSelfSigned(options.names, options.clock.now());
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  await writeWhole(files.privateKey, material.privateKey, 0o600);
  await writeWhole(files.certificate, material.certificate, 0o644);
  options.logger.info(
    { event: 'tls.self-signed', file: files.certificate, names: options.names },
    'made a self-signed certificate',
  );
  return material;
}

async function readKept(files: {
  readonly certificate: string;
  readonly privateKey: string;
}): Promise<TlsMaterial | null> {
  try {
    return await readFiles(files);
  } catch (error) {
    if (((error as Error).cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function isGood(material: TlsMaterial, { names, clock }: CertificateOptions): boolean {
  const certificate = new X509Certificate(material.certificate);
  const isFresh = certificate.validToDate.getTime() - clock.now().getTime() > renewBeforeMs;
  const isFor = (name: string) =>
    (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined;
  return isFresh && names.every(isFor);
}

/** Never there in part: a program killed between two bytes leaves the old file. */
async function writeWhole(file: string, text: string | Buffer, mode: number): Promise<void> {
  await writeFile(`${file}.new`, text, { mode });
  await chmod(`${file}.new`, mode);
  await rename(`${file}.new`, file);
}
