/**
 * What happens to a connection before its protocol begins: where it comes through a load balancer that says so, it gets
 * the client's address in place of the balancer's. Only those who are named are believed: anybody else could claim any
 * address.
 */
import type { Server, Socket } from 'node:net';
import { plainAddress } from '#shared/base/ip-network.ts';
import { longestProxyHeader, readProxyHeader } from './proxy-header.ts';

export type ClientFront = {
  /** Whose PROXY header is read, and must be there; null: nobody's. Other clients are taken as they are. */
  readonly isBalancer: ((address: string) => boolean) | null;
  /** Hears of every client. */
  readonly sawClient: (address: string) => void;
  /** A balancer's header was wrong or didn't come; its connection is dropped. */
  readonly onBadHeader: (balancer: string, reason: string) => void;
};

/** How long a balancer may take for its header, in ms. It is the first thing that it sends. */
const headerTimeoutMs = 10_000;
/** Connections whose header is waited for; more than that are dropped. */
const mostWaiting = 1_000;

/** Puts itself before the listeners that the server has for connections. */
export function receiveClients(server: Server, front: ClientFront): void {
  const listeners = server.listeners('connection') as ((socket: Socket) => void)[];
  const waiting = new Set<Socket>();
  const admit = (socket: Socket): void => {
    front.sawClient(plainAddress(socket.remoteAddress ?? ''));
    for (const listener of listeners) listener.call(server, socket);
  };
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const { isBalancer } = front;
    const balancer = plainAddress(socket.remoteAddress ?? '');
    if (isBalancer?.(balancer) !== true) return admit(socket);
    if (waiting.size >= mostWaiting) return void socket.destroy();
    waiting.add(socket);
    awaitHeader(socket, {
      done: (problem) => {
        waiting.delete(socket);
        if (problem === null) return admit(socket);
        front.onBadHeader(balancer, problem);
        socket.destroy();
      },
    });
  });
  server.once('close', () => {
    for (const socket of waiting) socket.destroy();
  });
}

/** `done` hears null once the header is taken off the stream. */
function awaitHeader(socket: Socket, { done }: { readonly done: (problem: string | null) => void }): void {
  let bytes: Buffer = Buffer.alloc(0);
  const stop = (problem: string | null): void => {
    clearTimeout(timer);
    socket.off('readable', read);
    socket.off('close', closed);
    if (problem !== null) return done(problem);
    socket.off('error', failed);
    done(null);
  };
  const failed = (): void => void socket.destroy();
  const closed = (): void => stop('the connection was closed before its header');
  const read = (): void => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      const header = readProxyHeader(bytes);
      if (header.kind === 'bad') return stop(header.reason);
      if (header.kind === 'incomplete' && bytes.length > longestProxyHeader) return stop('it is too long');
      if (header.kind === 'incomplete') continue;
      const rest = bytes.subarray(header.length);
      if (rest.length > 0) socket.unshift(rest);
      if (header.kind === 'client') setClient(socket, header);
      return stop(null);
    }
    if (socket.readableEnded) stop('the connection ended before its header');
  };
  const timer = setTimeout(() => stop(`no PROXY header came in ${headerTimeoutMs / 1000} s`), headerTimeoutMs);
  socket.on('error', failed);
  socket.on('close', closed);
  socket.on('readable', read);
  read();
}

type Client = { readonly address: string; readonly port: number };

const clients = new WeakMap<Socket, Client>();

function setClient(socket: Socket, client: Client): void {
  clients.set(socket, client);
  Object.defineProperty(socket, 'remoteAddress', { value: client.address, configurable: true });
  Object.defineProperty(socket, 'remotePort', { value: client.port, configurable: true });
}

/** The TLS socket that was put over another has the same client. */
export function keepClient(from: Socket, to: Socket): void {
  const client = clients.get(from);
  if (client) setClient(to, client);
}
