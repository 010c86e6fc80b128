/**
 * A client of one ACME authority (RFC 8555) with one account. It asks and is answered; when to ask, and what becomes of an
 * order, its caller knows. Every call rejects with AcmeProblem or AcmeUnreachable.
 */
import { z } from 'zod';
import { AcmeHttp, type AcmeAnswer, type AcmeRequest } from './acme-http.ts';
import { AcmeProblem, AcmeUnreachable, problemDocument, type AcmeStep } from './acme-problem.ts';
import { bound, signed, type AccountKey, type ExternalBinding } from './jws.ts';

export type AcmeClientOptions = {
  readonly directoryUrl: string;
  /** PEM; null: the usual authorities. */
  readonly caBundle: string | null;
  readonly key: AccountKey;
  readonly contacts: readonly string[];
  readonly binding: ExternalBinding | null;
};

const url = z.string().max(2048);
/** RFC 8555 section 7.1.1; `renewalInfo` is RFC 9773's. */
const directory = z.object({
  newNonce: url,
  newAccount: url,
  newOrder: url,
  renewalInfo: url.optional(),
  meta: z.object({ externalAccountRequired: z.boolean().optional() }).optional(),
});
const account = z.object({ status: z.string(), contact: z.array(z.string()).max(100).default([]) });
const status = z.enum(['pending', 'ready', 'processing', 'valid', 'invalid']);
const order = z.object({
  status,
  authorizations: z.array(url).max(100),
  finalize: url,
  certificate: url.optional(),
  error: problemDocument.optional(),
});
const challenge = z.object({
  type: z.string(),
  url,
  status: z.string(),
  token: z.string().max(128).optional(),
  error: problemDocument.optional(),
});
const authorization = z.object({
  status: z.string(),
  identifier: z.object({ value: z.string().max(255) }),
  challenges: z.array(challenge).max(20),
});
const renewalInfo = z.object({ suggestedWindow: z.object({ start: z.iso.datetime(), end: z.iso.datetime() }) });

export type Order = z.output<typeof order> & { readonly url: string; readonly retryAfterMs: number | null };
export type Authorization = z.output<typeof authorization>;
export type RenewalWindow = { readonly start: Date; readonly end: Date; readonly retryAfterMs: number | null };

/** RFC 8555 section 6.5: a nonce that is refused comes with another. */
const nonceTries = 10;
const maxNonces = 20;
/** It may have forgotten. */
const tellAgainMs = 10 * 60_000;

export class AcmeClient implements Disposable {
  readonly #options: AcmeClientOptions;
  readonly #http: AcmeHttp;
  readonly #nonces: string[] = [];
  /** Challenges by URL, and when the authority was told of each. */
  readonly #told = new Map<string, number>();
  #directory: Promise<z.output<typeof directory>> | null = null;
  #account: Promise<string> | null = null;

  constructor(options: AcmeClientOptions) {
    this.#options = options;
    this.#http = new AcmeHttp(options.caBundle);
  }

  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]();
  }

  /** RFC 8555 section 7.4. `replaces`: the certificate that it is to follow (RFC 9773 section 5). */
  async newOrder(names: readonly string[], replaces: string | null): Promise<Order> {
    const { newOrder, renewalInfo: knowsRenewal } = await this.#endpoints();
    const identifiers = names.map((value) => ({ type: 'dns', value }));
    const isFollowing = replaces !== null && knowsRenewal !== undefined;
    const answer = await this.#post(newOrder, { identifiers, ...(isFollowing && { replaces }) }, 'order');
    if (answer.location === null) throw new AcmeUnreachable('the authority did not say where the order is');
    return readOrder(answer, answer.location);
  }

  async order(at: string): Promise<Order> {
    return readOrder(await this.#post(at, null, 'order'), at);
  }

  async authorization(at: string): Promise<Authorization> {
    return parse(authorization, await this.#post(at, null, 'challenge'));
  }

  /**
   * Tells the authority that the answer to a challenge is there (RFC 8555 section 7.5.1); not again within minutes, since
   * some begin another validation each time, and count each that fails.
   */
  async accept(challengeUrl: string): Promise<void> {
    const now = performance.now();
    for (const [url, at] of this.#told) if (now - at >= tellAgainMs) this.#told.delete(url);
    if (this.#told.has(challengeUrl)) return;
    await this.#post(challengeUrl, {}, 'challenge');
    this.#told.set(challengeUrl, now);
  }

  /** `csr`: DER. */
  async finalize({ finalize, url: at }: Order, csr: Buffer): Promise<Order> {
    return readOrder(await this.#post(finalize, { csr: csr.toString('base64url') }, 'order'), at);
  }

  /** The chain in PEM. */
  async certificate(at: string): Promise<string> {
    return (await this.#post(at, null, 'certificate', 'application/pem-certificate-chain')).body;
  }

  /** RFC 9773 section 4.1; null: the authority does not tell. */
  async renewalWindow(certificateId: string): Promise<RenewalWindow | null> {
    const { renewalInfo: base } = await this.#endpoints();
    if (base === undefined) return null;
    const answer = await this.#http.exchange({ method: 'GET', url: `${base.replace(/\/$/, '')}/${certificateId}` });
    const { suggestedWindow } = parse(renewalInfo, checked(answer, 'renewal'));
    const window = { start: new Date(suggestedWindow.start), end: new Date(suggestedWindow.end) };
    return window.end > window.start ? { ...window, retryAfterMs: answer.retryAfterMs } : null;
  }

  #endpoints(): Promise<z.output<typeof directory>> {
    this.#directory ??= this.#http
      .exchange({ method: 'GET', url: this.#options.directoryUrl })
      .then((answer) => parse(directory, checked(answer, 'directory')))
      .catch((error: unknown) => {
        this.#directory = null;
        throw error;
      });
    return this.#directory;
  }

  /** The account's address: of the one that the key has already, or of a new one (RFC 8555 section 7.3). */
  #accountUrl(): Promise<string> {
    this.#account ??= this.#openAccount().catch((error: unknown) => {
      this.#account = null;
      throw error;
    });
    return this.#account;
  }

  async #openAccount(): Promise<string> {
    const { key, contacts, binding } = this.#options;
    const { newAccount } = await this.#endpoints();
    const contact = contacts.map((address) => `mailto:${address}`);
    const payload = {
      termsOfServiceAgreed: true,
      contact,
      ...(binding && { externalAccountBinding: bound(binding, key, newAccount) }),
    };
    const answer = await this.#send(newAccount, payload, 'account', { jwk: key.jwk });
    if (answer.location === null) throw new AcmeUnreachable('the authority did not say where the account is');
    const kid = answer.location;
    const known = parse(account, answer);
    if (answer.status === 200 && known.contact.toSorted().join() !== contact.toSorted().join()) {
      await this.#send(kid, { contact }, 'account', { kid });
    }
    return kid;
  }

  async #post(at: string, payload: unknown, step: AcmeStep, accept?: string): Promise<AcmeAnswer> {
    const kid = await this.#accountUrl();
    try {
      return await this.#send(at, payload, step, { kid, accept });
    } catch (error) {
      if (!(error instanceof AcmeProblem) || error.type !== 'accountDoesNotExist') throw error;
      // The authority lost it, or it was closed: the next call makes one anew, where it may.
      this.#account = null;
      throw error;
    }
  }

  async #send(
    at: string,
    payload: unknown,
    step: AcmeStep,
    { accept, ...identity }: { readonly kid?: string; readonly jwk?: unknown; readonly accept?: string | undefined },
  ): Promise<AcmeAnswer> {
    for (let tries = 1; ; tries++) {
      const nonce = this.#nonces.pop() ?? (await this.#newNonce());
      const body = JSON.stringify(signed(this.#options.key, { nonce, url: at, ...identity }, payload));
      const answer = await this.#exchange({ method: 'POST', url: at, body, ...(accept !== undefined && { accept }) });
      try {
        return checked(answer, step);
      } catch (error) {
        if (!(error instanceof AcmeProblem) || error.type !== 'badNonce' || tries === nonceTries) throw error;
      }
    }
  }

  async #newNonce(): Promise<string> {
    const { newNonce } = await this.#endpoints();
    const { nonce } = checked(await this.#http.exchange({ method: 'HEAD', url: newNonce }), 'directory');
    if (nonce === null) throw new AcmeUnreachable('the authority gave no nonce');
    return nonce;
  }

  async #exchange(request: AcmeRequest): Promise<AcmeAnswer> {
    const answer = await this.#http.exchange(request);
    if (answer.nonce !== null && this.#nonces.length < maxNonces) this.#nonces.push(answer.nonce);
    return answer;
  }
}

/** Throws where the answer is no success. */
function checked(answer: AcmeAnswer, step: AcmeStep): AcmeAnswer {
  const { status: code, type, body, retryAfterMs } = answer;
  if (code >= 200 && code < 300) return answer;
  if (!type.startsWith('application/problem+json')) throw new AcmeUnreachable(`the authority answered ${code}`);
  throw new AcmeProblem(parse(problemDocument, { body }), { step, status: code, retryAfterMs });
}

function readOrder(answer: AcmeAnswer, at: string): Order {
  return { ...parse(order, answer), url: at, retryAfterMs: answer.retryAfterMs };
}

function parse<T>(schema: z.ZodType<T>, { body }: Pick<AcmeAnswer, 'body'>): T {
  try {
    return schema.parse(JSON.parse(body));
  } catch (error) {
    throw new AcmeUnreachable('the authority answered something that is not of RFC 8555', { cause: error });
  }
}
