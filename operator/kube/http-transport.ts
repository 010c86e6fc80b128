/**
 * Requests over a few connections that stay open (HTTP/1.1). Watches have connections of their own: one that is open
 * for minutes must not keep a request waiting.
 */
import http from 'node:http';
import https from 'node:https';
import { KubeError } from './kube-error.ts';
import type { KubeAccess } from './kube-access.ts';

export type HttpRequest = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
};

export type HttpAnswer = { readonly status: number; readonly headers: http.IncomingHttpHeaders; readonly body: string };

/** Bytes of one answer; a page of 500 objects is a megabyte. */
const maxAnswerBytes = 256 * 1024 * 1024;
/** A free connection is closed by us before the server does it (after 90 s) just when it is taken again. */
const freeMs = 30_000;
/** A peer that is gone is noticed by TCP within half a minute, even where nothing is written. */
const tcpKeepAliveMs = 20_000;

export class HttpTransport {
  readonly #base: URL;
  readonly #requests: http.Agent;
  readonly #watches: http.Agent;
  readonly #protocol: typeof http | typeof https;
  #isClosed = false;

  /** `connections`: for requests; watches come on top, one each. */
  constructor(access: KubeAccess, connections: number) {
    this.#base = new URL(access.server);
    const isTls = this.#base.protocol === 'https:';
    this.#protocol = isTls ? https : http;
    const tls: https.AgentOptions = {
      ...(access.ca !== null && { ca: access.ca }),
      ...(access.certificate !== null && { cert: access.certificate.certificate, key: access.certificate.privateKey }),
      ...(access.serverName !== null && { servername: access.serverName }),
      rejectUnauthorized: !access.skipsVerification,
    };
    const pool = (most: number): http.Agent => {
      const options = {
        keepAlive: true,
        // The same as of those in use, or each request would set it twice.
        keepAliveMsecs: tcpKeepAliveMs,
        maxSockets: most,
        scheduling: 'lifo' as const,
        timeout: freeMs,
      };
      return isTls ? new https.Agent({ ...options, ...tls }) : new http.Agent(options);
    };
    this.#requests = pool(connections);
    this.#watches = pool(Infinity);
  }

  get host(): string {
    return this.#base.host;
  }

  /** The whole answer, whatever its status. Fails with a KubeError of status 0 when there is none within `withinMs`. */
  async exchange(request: HttpRequest, withinMs: number): Promise<HttpAnswer> {
    return await this.#within(request, this.#requests, withinMs, readAnswer);
  }

  /**
   * The answer as it comes, when it is a 200: the caller destroys it, or reads it to its end. Another answer is given
   * as a whole. Either must have begun, and the whole one must be there, within `withinMs`.
   */
  async open(request: HttpRequest, withinMs: number): Promise<http.IncomingMessage | HttpAnswer> {
    return await this.#within<http.IncomingMessage | HttpAnswer>(request, this.#watches, withinMs, (incoming) =>
      incoming.statusCode === 200 ? incoming : readAnswer(incoming),
    );
  }

  async #within<T>(
    request: HttpRequest,
    agent: http.Agent,
    withinMs: number,
    take: (incoming: http.IncomingMessage) => T | Promise<T>,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const outgoing = this.#send(request, agent);
    const timer = setTimeout(() => {
      reject(new KubeError({ status: 0, reason: 'Timeout', message: `no answer within ${withinMs} ms` }));
      outgoing.destroy();
    }, withinMs);
    outgoing.once('error', reject);
    outgoing.once('response', (incoming) => {
      Promise.resolve(take(incoming)).then(resolve, reject);
    });
    try {
      return await promise;
    } catch (error) {
      throw this.#faultOf(error, request);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What went wrong with a connection, as a KubeError; the caller's own abort as it is. */
  #faultOf(error: unknown, request: HttpRequest): unknown {
    if (request.signal?.aborted) return request.signal.reason;
    return connectionFault(error, `${request.method} ${this.host}`);
  }

  #send(request: HttpRequest, agent: http.Agent): http.ClientRequest {
    if (this.#isClosed) throw new KubeError({ status: 0, reason: 'Closed', message: 'the client is closed' });
    const { method, headers, body, signal } = request;
    const outgoing = this.#protocol.request({
      agent,
      method,
      // A URL's brackets around an IPv6 address are not part of the host.
      host: this.#base.hostname.replace(/^\[|\]$/g, ''),
      port: this.#base.port || (this.#base.protocol === 'https:' ? 443 : 80),
      path: this.#base.pathname.replace(/\/$/, '') + request.path,
      headers: body === undefined ? headers : { ...headers, 'Content-Length': Buffer.byteLength(body) },
      ...(signal && { signal }),
    });
    outgoing.once('socket', (socket) => socket.setKeepAlive(true, tcpKeepAliveMs));
    // Errors after the one that was told have nobody to hear them.
    outgoing.on('error', () => undefined);
    outgoing.end(body);
    return outgoing;
  }

  /** Ends every connection. */
  close(): void {
    this.#isClosed = true;
    this.#requests.destroy();
    this.#watches.destroy();
  }
}

function readAnswer(incoming: http.IncomingMessage): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  const chunks: Buffer[] = [];
  let byteCount = 0;
  incoming.on('data', (chunk: Buffer) => {
    byteCount += chunk.length;
    if (byteCount <= maxAnswerBytes) chunks.push(chunk);
    else incoming.destroy(new Error(`an answer of more than ${maxAnswerBytes} bytes`));
  });
  incoming.once('error', reject);
  incoming.once('end', () => {
    const { statusCode: status = 0, headers } = incoming;
    resolve({ status, headers, body: Buffer.concat(chunks).toString('utf8') });
  });
  // A request that is destroyed does not always tell its answer why.
  incoming.once('close', () => reject(new Error('the answer was cut')));
  return promise;
}

/** A KubeError of status 0: `ConnectionRefused` (nothing was sent), `Timeout`, `Idle`, or `Unreachable`. */
export function connectionFault(error: unknown, what: string): KubeError {
  if (error instanceof KubeError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const isNothingSent = code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EAI_AGAIN';
  const reason = isNothingSent ? 'ConnectionRefused' : 'Unreachable';
  return new KubeError({ status: 0, reason, message: `${what}: ${message}`, cause: error });
}
