/**
 * Port 80 for an ACME authority (RFC 8555 section 8.3), and for nothing else: one request a connection, answered from the
 * database, where the operator puts the answer before it tells the authority to ask. It must not know what is ordered.
 */
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import type { ClientFront } from '#server/wire/client-front.ts';
import { ConnectionLost, type Connection } from '#server/wire/connection.ts';
import { Listener } from '#server/wire/listener.ts';

export type ChallengeListenerOptions = {
  readonly host: string;
  readonly port: number;
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  readonly front: ClientFront;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'connectionsOpened' | 'connectionsOpen' | 'connectionsRefused'>;
  /** The key authorization of a token; null: nobody has such a token. Rejects where nobody could tell. */
  readonly find: (token: string) => Promise<string | null>;
};

const label = { listener: 'acme' };
/** From the first byte to the last of a request, in ms. */
const requestMs = 10_000;
const maxRequestBytes = 8 * 1024;
/** An authority asks from a few places at once; everybody else has no business here. */
const maxLookups = 8;

/** RFC 9112 section 3.2: origin-form, or absolute-form. RFC 8555 section 8.3: a token is base64url. */
const challengeRequest =
  /^(?:GET|HEAD) (?:http:\/\/[^/\s]*)?\/\.well-known\/acme-challenge\/([A-Za-z0-9_-]{1,128})(?:\?\S*)? HTTP\/1\.[01]\r\n/;

type Answer = { readonly status: string; readonly body: string };

export class ChallengeListener {
  readonly #listener: Listener;

  private constructor(listener: Listener) {
    this.#listener = listener;
  }

  /** Rejects with a ProgramFault when the port can't be had. */
  static async open(options: ChallengeListenerOptions): Promise<ChallengeListener> {
    const { logger, metrics } = options;
    let lookups = 0;
    const find = async (token: string): Promise<Answer> => {
      if (lookups >= maxLookups) return busy;
      lookups += 1;
      try {
        const body = await options.find(token);
        return body === null ? notFound : { status: '200 OK', body };
      } finally {
        lookups -= 1;
      }
    };
    const serve = async (connection: Connection): Promise<void> => {
      metrics.connectionsOpened.inc(label);
      metrics.connectionsOpen.inc(label);
      try {
        await answerOne(connection, find, logger);
      } finally {
        metrics.connectionsOpen.dec(label);
      }
    };
    const listener = await Listener.open({
      ...options,
      name: 'ACME',
      tls: null,
      tooManyReply: format(busy, true),
      serve,
      onFailure: (err) => logger.error({ event: 'conn.failure', protocol: 'acme', err }, 'connection failed'),
      onRefused: (why) =>
        metrics.connectionsRefused.inc({ ...label, reason: why === 'too-many' ? 'listener-full' : 'address-full' }),
    });
    return new ChallengeListener(listener);
  }

  get port(): number {
    return this.#listener.port;
  }

  stop(graceMs: number): Promise<void> {
    return this.#listener.drain(graceMs);
  }
}

const notFound: Answer = { status: '404 Not Found', body: 'There is nothing here but answers to ACME challenges.\n' };
const badRequest: Answer = { status: '400 Bad Request', body: 'This is no request.\n' };
const busy: Answer = { status: '503 Service Unavailable', body: 'Try again later.\n' };

async function answerOne(
  connection: Connection,
  find: (token: string) => Promise<Answer>,
  logger: Logger,
): Promise<void> {
  try {
    const request = await readRequest(connection);
    if (request === null) return;
    const token = challengeRequest.exec(request)?.[1];
    const refusal = /^[!-~]+ \S+ HTTP\/1\.[01]\r\n/.test(request) ? notFound : badRequest;
    const answer = token === undefined ? refusal : await found(token, find, logger);
    await connection.write(format(answer, !request.startsWith('HEAD ')));
  } catch (error) {
    if (!(error instanceof ConnectionLost)) throw error;
  }
}

async function found(token: string, find: (token: string) => Promise<Answer>, logger: Logger): Promise<Answer> {
  try {
    const answer = await find(token);
    logger.debug({ event: 'acme.asked', token, status: answer.status }, 'an ACME challenge was asked for');
    return answer;
  } catch (err) {
    logger.warn({ event: 'acme.unanswered', err }, 'an ACME challenge could not be answered');
    return busy;
  }
}

/** Up to the empty line after the header, in Latin-1; null: there is no whole one in time, or it is too long. */
async function readRequest(connection: Connection): Promise<string | null> {
  const deadline = performance.now() + requestMs;
  let text = '';
  while (!text.includes('\r\n\r\n')) {
    const left = deadline - performance.now();
    const read = left > 0 && text.length < maxRequestBytes ? await connection.read(left) : 'timeout';
    if (typeof read === 'string') return null;
    text += read.toString('latin1');
  }
  return text;
}

function format({ status, body }: Answer, hasBody: boolean): string {
  const type = status.startsWith('200') ? 'application/octet-stream' : 'text/plain';
  const fields = [`Content-Type: ${type}`, `Content-Length: ${body.length}`, 'Cache-Control: no-store'];
  return [`HTTP/1.1 ${status}`, ...fields, 'Connection: close', '', hasBody ? body : ''].join('\r\n');
}
