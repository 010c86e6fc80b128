/** Requests to an API server as they are, with what a client library keeps to itself: warnings and dry runs. */
import { Agent, request } from 'node:https';
import { json } from 'node:stream/consumers';
import type { KubeApiserver } from '../harness/kube-apiserver.ts';

type Answer = {
  readonly status: number;
  readonly warnings: readonly string[];
  readonly body: { readonly [field: string]: unknown };
};

const answerWithinMs = 30_000;

export class ApiRequests implements Disposable {
  readonly #server: KubeApiserver;
  readonly #agent: Agent;

  constructor(server: KubeApiserver) {
    this.#server = server;
    const { ca, serverName } = server.access;
    this.#agent = new Agent({
      keepAlive: true,
      ...(ca !== null && { ca }),
      ...(serverName !== null && { servername: serverName }),
    });
  }

  async send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const { login } = this.#server.access;
    const sent = request(new URL(path, this.#server.access.server), {
      method,
      agent: this.#agent,
      signal: AbortSignal.timeout(answerWithinMs),
      headers: {
        accept: 'application/json',
        'content-type': 'application/json',
        ...(login !== null && 'token' in login && { authorization: `Bearer ${login.token}` }),
        ...headers,
      },
    });
    sent.once('error', reject);
    sent.once('response', (response) => {
      const { statusCode: status = 0, headersDistinct } = response;
      const warnings = headersDistinct['warning'] ?? [];
      json(response).then((value) => resolve({ status, warnings, body: value as Answer['body'] }), reject);
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    return promise;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}
