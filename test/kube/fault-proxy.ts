/** Stands before an API server, and does to requests and watches what networks and servers do. */
import http from 'node:http';
import https from 'node:https';
import type net from 'node:net';
import type { KubeAccess } from '#operator/kube/kube-access.ts';

export type Seen = { readonly method: string; readonly path: string; readonly isWatch: boolean };

/**
 * `answer`: without asking the server. `hang`: never answered. `cut`: the connection is cut at once. `cutAfter`: the
 * server is asked, and the connection cut instead of its answer. `stall`: half of an answer comes, and then nothing.
 * `delay`: handed on after so many milliseconds.
 */
export type Fault =
  | { readonly kind: 'answer'; readonly status: number; readonly body?: unknown; readonly retryAfter?: number }
  | { readonly kind: 'hang' | 'cut' | 'cutAfter' | 'stall' }
  | { readonly kind: 'delay'; readonly ms: number };

/** What becomes of the watches that are open now. Those that are opened afterwards are whole. */
export type WatchFault = 'cut' | 'half' | 'expired' | 'failed' | 'silent' | 'garbage' | 'ended';

export interface FaultProxy extends AsyncDisposable {
  /** As the server's, but through the proxy. */
  readonly access: KubeAccess;
  readonly seen: readonly Seen[];
  /** Connections opened so far. */
  readonly opened: number;
  /** Looks at each request from now on; null hands it on. */
  rule(look: ((request: Seen) => Fault | null) | null): void;
  hurtWatches(fault: WatchFault): void;
  /** How many watches are open. */
  readonly watches: number;
}

export async function startFaultProxy(target: KubeAccess): Promise<FaultProxy> {
  const upstream = new URL(target.server);
  const protocol = upstream.protocol === 'https:' ? https : http;
  const agent = new protocol.Agent({
    keepAlive: true,
    ...(upstream.protocol === 'https:' && { ca: target.ca ?? '', servername: target.serverName ?? '' }),
  });
  const seen: Seen[] = [];
  const watches = new Set<OpenWatch>();
  const sockets = new Set<net.Socket>();
  let opened = 0;
  let look: ((request: Seen) => Fault | null) | null = null;

  const server = http.createServer((request, response) => {
    const path = request.url ?? '';
    const what: Seen = { method: request.method ?? '', path, isWatch: path.includes('watch=1') };
    seen.push(what);
    const fault = look?.(what) ?? null;
    switch (fault?.kind) {
      case 'hang':
        return;
      case 'cut':
        request.socket.destroy();
        return;
      case 'stall':
        response.writeHead(what.isWatch ? 500 : 200, { 'content-type': 'application/json', 'content-length': '100' });
        response.write('{"kind":');
        return;
      case 'answer':
        request.resume();
        response.writeHead(fault.status, {
          'content-type': 'application/json',
          ...(fault.retryAfter !== undefined && { 'retry-after': `${fault.retryAfter}` }),
        });
        response.end(JSON.stringify(fault.body ?? statusOf(fault.status, 'told by the proxy')));
        return;
      case 'delay':
        setTimeout(() => forward(what, request, response, false), fault.ms);
        return;
      default:
        forward(what, request, response, fault?.kind === 'cutAfter');
    }
  });
  server.on('connection', (socket) => {
    opened += 1;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });

  function forward(
    what: Seen,
    request: http.IncomingMessage,
    response: http.ServerResponse,
    isAnswerLost: boolean,
  ): void {
    const outgoing = protocol.request(
      {
        agent,
        host: upstream.hostname,
        port: upstream.port,
        method: what.method,
        path: what.path,
        headers: { ...request.headers, host: upstream.host },
      },
      (answer) => {
        if (isAnswerLost) {
          answer.resume().once('end', () => request.socket.destroy());
          return;
        }
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        response.flushHeaders();
        if (!what.isWatch) {
          answer.pipe(response);
          return;
        }
        const watch = new OpenWatch(answer, response);
        watches.add(watch);
        response.once('close', () => {
          watches.delete(watch);
          answer.destroy();
        });
      },
    );
    outgoing.once('error', () => response.destroy());
    response.once('close', () => outgoing.destroy());
    request.pipe(outgoing);
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  return {
    access: { ...target, server: `http://127.0.0.1:${port}`, ca: null, serverName: null },
    seen,
    get opened() {
      return opened;
    },
    get watches() {
      return watches.size;
    },
    rule(given) {
      look = given;
    },
    hurtWatches(fault) {
      for (const watch of watches) watch.hurt(fault);
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      agent.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

class OpenWatch {
  readonly #response: http.ServerResponse;
  #isSilent = false;
  #isHalf = false;

  constructor(answer: http.IncomingMessage, response: http.ServerResponse) {
    this.#response = response;
    answer.on('data', (chunk: Buffer) => {
      if (this.#isSilent) return;
      if (!this.#isHalf) {
        response.write(chunk);
        return;
      }
      // Half of the next event, and nothing more.
      response.write(chunk.subarray(0, chunk.length >> 1), () => response.destroy());
    });
    answer.once('error', () => response.destroy());
    answer.once('end', () => {
      if (!this.#isSilent) response.end();
    });
  }

  hurt(fault: WatchFault): void {
    switch (fault) {
      case 'cut':
        this.#response.destroy();
        break;
      case 'half':
        this.#isHalf = true;
        break;
      case 'silent':
        this.#isSilent = true;
        break;
      case 'ended':
        this.#response.end();
        break;
      case 'garbage':
        this.#response.end('{"type":"MODIFIED","object":{"meta\n');
        break;
      default: {
        const object = statusOf(fault === 'expired' ? 410 : 500, 'told by the proxy');
        this.#response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
      }
    }
  }
}

const reasons: Readonly<Record<number, string>> = {
  410: 'Expired',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
};

function statusOf(code: number, message: string): unknown {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason: reasons[code] ?? 'Unknown', message };
}
