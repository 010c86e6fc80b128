/** The client's half of SCRAM (RFC 5802), written apart from the server's. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

export type ScramClientOptions = {
  readonly hash: 'sha256' | 'sha1';
  readonly login: string;
  readonly password: string;
  /** "gs2-cbind-flag" with its commas. */
  readonly header: string;
  /** What follows the header in "c=". */
  readonly binding: Buffer;
};

export class ScramClient {
  readonly #options: ScramClientOptions;
  readonly #bare: string;
  #expected = '';

  constructor(options: ScramClientOptions) {
    this.#options = options;
    this.#bare = `n=${options.login},r=${randomBytes(12).toString('base64')}`;
  }

  /** In base64, as the two that follow. */
  first(): string {
    return Buffer.from(this.#options.header + this.#bare).toString('base64');
  }

  final(challenge: string): string {
    const { hash, password, header, binding } = this.#options;
    const serverFirst = Buffer.from(challenge, 'base64').toString();
    const [, nonce = '', salt = '', iterations = '1'] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst) ?? [];
    const length = hash === 'sha256' ? 32 : 20;
    const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), length, hash);
    const clientKey = createHmac(hash, salted).update('Client Key').digest();
    const storedKey = createHash(hash).update(clientKey).digest();
    const bound = Buffer.concat([Buffer.from(header), binding]).toString('base64');
    const withoutProof = `c=${bound},r=${nonce}`;
    const message = `${this.#bare},${serverFirst},${withoutProof}`;
    const signature = createHmac(hash, storedKey).update(message).digest();
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0)));
    const serverKey = createHmac(hash, salted).update('Server Key').digest();
    this.#expected = `v=${createHmac(hash, serverKey).update(message).digest('base64')}`;
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`).toString('base64');
  }

  /** Whether the server knows the password too. */
  accepts(challenge: string): boolean {
    return Buffer.from(challenge, 'base64').toString() === this.#expected;
  }
}
