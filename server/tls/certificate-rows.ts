/**
 * The certificates that the operator puts into the database. They are taken up a moment after they change (LISTEN) and
 * looked at from time to time besides; what can't be used is passed over, and what was in use instead stays.
 */
import { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '#shared/base/clock.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { listen } from '#shared/db/listen.ts';
import { certificateChannel, openCertificate } from '#shared/directory/certificates.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { assertUsable, type NamedMaterial } from '#server/wire/tls-context.ts';

export type CertificateRowsOptions = {
  readonly database: PostgresDatabase;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Hears of all that are usable, whenever one changed; those with an equal material are the same object. */
  readonly changed: (usable: readonly UsableCertificate[]) => void;
  /** Between two looks though nothing was heard, in ms; a minute unless told. */
  readonly sweepMs?: number;
};

export type UsableCertificate = NamedMaterial & { readonly expires: Date };

type Row = { readonly id: bigint; readonly owner: string; readonly version: number; readonly is_default: boolean };

type Taken = UsableCertificate & { readonly version: number };

export class CertificateRows implements AsyncDisposable {
  readonly #options: CertificateRowsOptions;
  readonly #stop = new AbortController();
  readonly #listening: AsyncDisposable;
  readonly #sweeping: Promise<void>;
  /** By row. */
  readonly #taken = new Map<bigint, Taken>();
  /** Versions that can't be used, so that each is told of once. */
  readonly #refused = new Map<bigint, number>();
  #looking: Promise<void> = Promise.resolve();
  #isWaiting = false;

  private constructor(options: CertificateRowsOptions) {
    const { database, logger, sweepMs = 60_000 } = options;
    this.#options = options;
    const soon = (): void => void this.#soon();
    this.#listening = listen({
      database,
      channel: certificateChannel,
      listener: { heard: soon, gap: soon },
      onError: (err) => logger.debug({ event: 'tls.listen', err }, 'changes of certificates are seen by looking only'),
    });
    this.#sweeping = this.#sweep(sweepMs);
  }

  /** Resolves after the first look, whether the database answered it or not. */
  static async open(options: CertificateRowsOptions): Promise<CertificateRows> {
    const rows = new CertificateRows(options);
    await rows.#soon();
    return rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#listening[Symbol.asyncDispose]();
    await this.#sweeping;
    await this.#looking;
  }

  async #sweep(everyMs: number): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await sleep(everyMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await this.#soon();
    }
  }

  /** One look at a time; what is heard during one is looked at after it. */
  #soon(): Promise<void> {
    if (this.#isWaiting) return this.#looking;
    this.#isWaiting = true;
    this.#looking = this.#looking.then(async () => {
      this.#isWaiting = false;
      if (this.#stop.signal.aborted) return;
      try {
        await this.#look();
      } catch (err) {
        this.#options.logger.warn({ event: 'tls.rows', err }, 'certificates could not be read; those in use stay');
      }
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { db } = this.#options.database;
    const rows = await db
      .selectFrom('certificate')
      .select(['id', 'owner', 'version', 'is_default'])
      .orderBy('id')
      .execute();
    let isChanged = false;
    for (const row of rows) if (await this.#take(row)) isChanged = true;
    for (const id of this.#taken.keys()) {
      if (rows.some((row) => row.id === id)) continue;
      this.#taken.delete(id);
      isChanged = true;
    }
    for (const id of this.#refused.keys()) if (!rows.some((row) => row.id === id)) this.#refused.delete(id);
    if (isChanged) this.#options.changed(rows.flatMap(({ id }) => this.#taken.get(id) ?? []));
  }

  /** Whether it is another one now. */
  async #take(row: Row): Promise<boolean> {
    const { id, owner, version } = row;
    if (this.#taken.get(id)?.version === version || this.#refused.get(id) === version) return false;
    try {
      const taken = await this.#read(row);
      if (taken === null) return false;
      this.#taken.set(id, taken);
      this.#refused.delete(id);
      const { expires, names } = taken;
      this.#options.logger.info({ event: 'tls.taken', owner, names, expires }, 'certificate taken from the database');
      return true;
    } catch (err) {
      this.#refused.set(id, version);
      const text = 'a certificate in the database is not usable; what was in use instead stays';
      this.#options.logger.warn({ event: 'tls.refused', owner, err }, text);
      return false;
    }
  }

  /** Null: it is gone by now. Throws where it can't be used. */
  async #read({ id, owner, version, is_default: isDefault }: Row): Promise<Taken | null> {
    const { database, keyring, clock } = this.#options;
    const row = await database.db
      .selectFrom('certificate')
      .select(['material', 'seal_key_id', 'names'])
      .where('id', '=', id)
      .where('version', '=', version)
      .executeTakeFirst();
    if (row === undefined) return null;
    const material = openCertificate(keyring, owner, { keyId: row.seal_key_id, bytes: row.material });
    assertUsable(material);
    const certificate = new X509Certificate(material.certificate);
    const expires = certificate.validToDate;
    if (expires <= clock.now()) throw new Error(`it ended at ${expires.toISOString()}`);
    const names = row.names.filter((name) => certificate.checkHost(name.replace(/^\*/, 'any')) !== undefined);
    if (names.length === 0) throw new Error(`it is for none of ${row.names.join(', ')}`);
    return { names, isDefault, material, expires, version };
  }
}
