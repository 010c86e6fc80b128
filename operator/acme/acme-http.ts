/** Requests to an ACME authority: TLS and a whole answer within bounds, whatever its status. */
import https from 'node:https';
import { version } from '#shared/process/version.ts';
import { AcmeUnreachable } from './acme-problem.ts';

export type AcmeAnswer = {
  readonly status: number;
  readonly body: string;
  readonly type: string;
  readonly location: string | null;
  readonly nonce: string | null;
  /** From `Retry-After` (RFC 9110 section 10.2.3), at most a week; null: it does not say. */
  readonly retryAfterMs: number | null;
};

export type AcmeRequest = {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: string;
  /** JSON of a JWS. */
  readonly body?: string;
  readonly accept?: string;
};

/** For a whole exchange, in ms. */
const exchangeMs = 30_000;
/** A chain of certificates is a few KiB. */
const maxAnswerBytes = 256 * 1024;
const mostWaitMs = 7 * 24 * 3600_000;

export class AcmeHttp implements Disposable {
  readonly #agent: https.Agent;

  /** `ca`: authorities in PEM that are trusted instead of the usual ones; null: the usual ones. */
  constructor(ca: string | null) {
    this.#agent = new https.Agent({ keepAlive: true, maxSockets: 4, timeout: 30_000, ...(ca !== null && { ca }) });
  }

  /** Rejects with AcmeUnreachable. */
  async exchange({ method, url, body, accept }: AcmeRequest): Promise<AcmeAnswer> {
    const host = hostOf(url);
    const { promise, resolve, reject } = Promise.withResolvers<AcmeAnswer>();
    const signal = AbortSignal.timeout(exchangeMs);
    try {
      const outgoing = https.request(url, {
        method,
        agent: this.#agent,
        signal,
        // RFC 8555 section 6.1 wants both; section 6.2 the type of the body.
        headers: {
          'user-agent': `Postrider/${version}`,
          'accept-language': 'en',
          ...(accept !== undefined && { accept }),
          ...(body !== undefined && {
            'content-type': 'application/jose+json',
            'content-length': Buffer.byteLength(body),
          }),
        },
      });
      outgoing.on('error', reject);
      outgoing.on('response', (incoming) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        incoming.on('error', reject);
        incoming.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > maxAnswerBytes) incoming.destroy(new Error('the answer is too long'));
          else chunks.push(chunk);
        });
        incoming.on('end', () => {
          const { headers, statusCode = 0 } = incoming;
          const nonce = headers['replay-nonce'];
          resolve({
            status: statusCode,
            body: Buffer.concat(chunks).toString('utf8'),
            type: headers['content-type'] ?? '',
            location: headers.location ?? null,
            nonce: typeof nonce === 'string' ? nonce : null,
            retryAfterMs: waitOf(headers['retry-after'] ?? null, Date.now()),
          });
        });
      });
      outgoing.end(body);
      return await promise;
    } catch (error) {
      const why = signal.aborted ? `no answer within ${exchangeMs / 1000} s` : (error as Error).message;
      throw new AcmeUnreachable(`${host}: ${why}`, { cause: error });
    }
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

function hostOf(url: string): string {
  const parsed = URL.parse(url);
  // RFC 8555 section 6.1.
  if (parsed?.protocol !== 'https:') throw new AcmeUnreachable(`${url.slice(0, 200)} is no https address`);
  return parsed.host;
}

/** A number of seconds, or a date. */
export function waitOf(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  const waitMs = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isNaN(waitMs) ? null : Math.min(mostWaitMs, Math.max(0, waitMs));
}
