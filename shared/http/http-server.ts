/**
 * Health, metrics and information over HTTP. It knows what it is given and nothing of mail; nothing it says is
 * secret, and nothing a client sends is used but method and path.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Registry } from 'prom-client';
import type { Health } from '#shared/observe/health.ts';
import type { Logger } from '#shared/observe/logger.ts';

export type HttpServerOptions = {
  readonly host: string;
  /** 0: any free port, see `port`. */
  readonly port: number;
  readonly health: Health;
  /** What `/metrics` prints, in Prometheus' text format. */
  readonly printMetrics: () => Promise<string>;
  /** What `GET /api/v1/info` tells anybody. */
  readonly info: object;
  readonly logger: Logger;
  /** Turns an error of `listen` into what the person who runs the program is told. */
  readonly explain: (error: Error) => Error;
};

type Answer = { readonly status: number; readonly type: string; readonly body: string };

export class HttpServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #options: HttpServerOptions;

  private constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#server = createServer(
      { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 15_000, maxHeaderSize: 8 * 1024 },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.maxConnections = 200;
  }

  /** Rejects with what `explain` makes of the error when the port can't be had. */
  static async open(options: HttpServerOptions): Promise<HttpServer> {
    const http = new HttpServer(options);
    const server = http.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(options.explain(error)));
      server.listen({ host: options.host, port: options.port }, resolve);
    });
    server.removeAllListeners('error');
    server.on('error', (err) =>
      options.logger.warn({ event: 'http.error', err }, 'a connection could not be accepted'),
    );
    return http;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // No route takes a body; one that is sent is thrown away.
    request.resume();
    const { logger } = this.#options;
    const answer = await this.#answer(request).catch((err: unknown): Answer => {
      logger.error({ event: 'http.failed', err }, 'request failed');
      return problem(500, 'Something went wrong here; the log says what.');
    });
    response.on('error', () => response.destroy());
    response.writeHead(answer.status, {
      'content-type': answer.type,
      'content-length': Buffer.byteLength(answer.body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { health, printMetrics, info } = this.#options;
    const [path] = (request.url ?? '/').split('?');
    if (request.method !== 'GET' && request.method !== 'HEAD') return problem(405, 'Only GET and HEAD are served.');
    switch (path) {
      case '/healthz':
        // The process answers: that is all a liveness probe should ask. A database that is away is no reason to restart.
        return json(200, { status: 'ok' });
      case '/readyz': {
        const report = health.report();
        return json(report.isReady ? 200 : 503, report);
      }
      case '/metrics':
        return { status: 200, type: Registry.PROMETHEUS_CONTENT_TYPE, body: await printMetrics() };
      case '/api/v1/info':
        return json(200, info);
      default:
        return problem(404, 'There are /healthz, /readyz, /metrics and /api/v1/info.');
    }
  }
}

function json(status: number, value: unknown): Answer {
  return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(value)}\n` };
}

/** RFC 9457 "problem details". */
function problem(status: number, detail: string): Answer {
  return {
    status,
    type: 'application/problem+json',
    body: `${JSON.stringify({ status, detail })}\n`,
  };
}
