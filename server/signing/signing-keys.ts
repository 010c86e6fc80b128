/** The keys that sign the mail of a domain, from the database. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Clock } from '#shared/base/clock.ts';
import type { Database } from '#shared/db/schema.ts';
import type { DkimAlgorithm } from '#shared/db/sending-tables.ts';
import { dkimSealContext } from '#shared/directory/dkim-keys.ts';
import type { Keyring } from '#shared/directory/keyring.ts';

export type SigningKey = { readonly algorithm: DkimAlgorithm; readonly selector: string; readonly key: KeyObject };

/** Keys change by the month; a key that retires is published for a week more. */
const believedMs = 60_000;
const maxDomains = 10_000;

export class SigningKeys {
  readonly #db: Kysely<Database>;
  readonly #keyring: Keyring;
  readonly #clock: Clock;
  readonly #known = new Map<string, { readonly readAt: number; readonly keys: Promise<readonly SigningKey[]> }>();

  constructor(db: Kysely<Database>, keyring: Keyring, clock: Clock) {
    this.#db = db;
    this.#keyring = keyring;
    this.#clock = clock;
  }

  /**
   * Active keys of the domain that goes by this name, RSA first; none: it is not ours, or its mail is not signed. An
   * error is the database's, or says that the keyring doesn't open a key.
   */
  of(domain: string): Promise<readonly SigningKey[]> {
    const now = this.#clock.monotonicMs();
    const known = this.#known.get(domain);
    if (known !== undefined && now - known.readAt < believedMs) return known.keys;
    const keys = this.#read(domain);
    this.#known.delete(domain);
    this.#known.set(domain, { readAt: now, keys });
    const [oldest] = this.#known.keys();
    if (this.#known.size > maxDomains && oldest !== undefined) this.#known.delete(oldest);
    // What could not be read is asked for again.
    keys.catch(() => this.#known.delete(domain));
    return keys;
  }

  async #read(domain: string): Promise<readonly SigningKey[]> {
    const rows = await this.#db
      .selectFrom('domain_name')
      .innerJoin('domain', 'domain.id', 'domain_name.domain_id')
      .innerJoin('dkim_key', 'dkim_key.domain_id', 'domain.id')
      .select(['domain.id', 'selector', 'algorithm', 'private_key', 'seal_key_id'])
      .where('domain_name.name', '=', domain)
      .where('domain.retained_at', 'is', null)
      .where('state', '=', 'active')
      .orderBy('algorithm', 'desc')
      .execute();
    return rows.map(({ id, selector, algorithm, private_key: bytes, seal_key_id: keyId }) => ({
      algorithm,
      selector,
      key: createPrivateKey({
        key: this.#keyring.open({ keyId, bytes }, dkimSealContext(id, selector)),
        format: 'der',
        type: 'pkcs8',
      }),
    }));
  }
}
