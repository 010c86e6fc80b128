/**
 * Logins with an access token of an OpenID Connect issuer (RFC 7628, RFC 9068): the token is a JWT, signed with a key
 * of the issuer's, for us. It must not know a protocol.
 */
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload } from 'jose';
import type { LoginAccount, LoginDirectory } from '#shared/directory/logins.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { LoginOutcome, TokenAttempt, TokenLogins } from './authenticator.ts';
import { countAttempt } from './count-attempt.ts';

export type TokenIssuer = {
  /** What a token's "iss" must be. */
  readonly issuer: string;
  /** One of a token's "aud" must be this. */
  readonly audience: string;
  /** Where the issuer's keys are; null: its configuration tells. */
  readonly jwksUrl: string | null;
  /** The claim that names the account, by an address. */
  readonly loginClaim: string;
};

export type TokenLoginsOptions = {
  readonly issuer: TokenIssuer;
  readonly directory: Pick<LoginDirectory, 'accountByLogin'>;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'authAttempts'>;
};

/** How far clocks may be apart, in seconds. */
const clockSkewSeconds = 60;
const fetchTimeoutMs = 5_000;
/** Keys are believed for so long; one that is not among them is asked for sooner, but not more often than this. */
const keysMaxAgeMs = 10 * 60_000;
const keysCooldownMs = 30_000;
const maxConfigurationBytes = 256 * 1024;

/** Signatures with a key pair alone: with a shared key, whoever can check a token could make one. */
const algorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];

/** Codes of `jose` that say that the issuer's keys could not be had, not that the token is wrong. */
const unavailableCodes: ReadonlySet<string> = new Set(['ERR_JWKS_TIMEOUT', 'ERR_JOSE_GENERIC', 'ERR_JWKS_INVALID']);

/** An address that its issuer has not seen answer may be anybody's. Some issuers write the claim as a text. */
function isUnverified({ email_verified: verified }: JWTPayload): boolean {
  return verified !== undefined && verified !== true && verified !== 'true';
}

export function createTokenLogins(options: TokenLoginsOptions): TokenLogins {
  return new JwtLogins(options);
}

class JwtLogins implements TokenLogins {
  readonly configuration: string;
  readonly #options: TokenLoginsOptions;
  #keys: Promise<ReturnType<typeof createRemoteJWKSet>> | null = null;

  constructor(options: TokenLoginsOptions) {
    this.#options = options;
    this.configuration = `${options.issuer.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  }

  authenticate(attempt: TokenAttempt): Promise<LoginOutcome> {
    return countAttempt(this.#options.metrics, attempt, () => this.#decide(attempt));
  }

  async #decide({ login, token }: TokenAttempt): Promise<LoginOutcome> {
    const { directory, issuer } = this.#options;
    const claims = await this.#verified(token);
    const named = claims?.[issuer.loginClaim];
    if (claims === null || typeof named !== 'string' || isUnverified(claims)) {
      return { ok: false, reason: 'bad-token' };
    }
    const account = await directory.accountByLogin(named);
    if (account === null) return { ok: false, reason: 'no-such-account' };
    if (login !== '' && !(await this.#isSame(account, login))) return { ok: false, reason: 'bad-token' };
    if (account.isSuspended) return { ok: false, reason: 'suspended' };
    return { ok: true, accountId: account.accountId, address: account.address };
  }

  /** The name that the client gave leads to the token's account too. */
  async #isSame({ accountId }: LoginAccount, login: string): Promise<boolean> {
    const named = await this.#options.directory.accountByLogin(login);
    return named?.accountId === accountId;
  }

  /** Null: it is no token for us. */
  async #verified(token: string): Promise<JWTPayload | null> {
    const { issuer, audience } = this.#options.issuer;
    const keys = await this.#keySet();
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer,
        audience,
        algorithms,
        clockTolerance: clockSkewSeconds,
        requiredClaims: ['exp'],
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError && !unavailableCodes.has(error.code)) {
        this.#options.logger.info({ event: 'auth.bad-token', code: error.code }, 'a token was refused');
        return null;
      }
      throw this.#unavailable(error);
    }
  }

  async #keySet(): Promise<ReturnType<typeof createRemoteJWKSet>> {
    this.#keys ??= this.#findKeys();
    try {
      return await this.#keys;
    } catch (error) {
      // The next login asks again.
      this.#keys = null;
      throw this.#unavailable(error);
    }
  }

  async #findKeys(): Promise<ReturnType<typeof createRemoteJWKSet>> {
    const url = new URL(this.#options.issuer.jwksUrl ?? (await this.#discover()));
    return createRemoteJWKSet(url, {
      timeoutDuration: fetchTimeoutMs,
      cooldownDuration: keysCooldownMs,
      cacheMaxAge: keysMaxAgeMs,
    });
  }

  /** OpenID Connect Discovery 1.0 section 4: the configuration must name the issuer that was asked for. */
  async #discover(): Promise<string> {
    const response = await fetch(this.configuration, {
      signal: AbortSignal.timeout(fetchTimeoutMs),
      redirect: 'error',
    });
    const length = Number(response.headers.get('content-length') ?? 0);
    if (!response.ok || length > maxConfigurationBytes) {
      await response.body?.cancel();
      throw new Error(`${this.configuration} answered ${response.status}`);
    }
    const found = (await response.json()) as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
    if (found.issuer !== this.#options.issuer.issuer || typeof found.jwks_uri !== 'string') {
      throw new Error(`${this.configuration} is not the configuration of ${this.#options.issuer.issuer}`);
    }
    return found.jwks_uri;
  }

  #unavailable(cause: unknown): MailError {
    if (cause instanceof MailError) return cause;
    this.#options.logger.warn({ event: 'auth.issuer-unavailable', err: cause }, 'tokens can not be checked now');
    return new MailError({ kind: 'unavailable' }, { cause });
  }
}
