/**
 * A Postgres that is further away: `node delay-proxy-program.ts HOST-OR-SOCKET PORT DELAY-MS`, forked. It hands on every
 * chunk in order, so long after it came; a thousand chunks under way are as late as one, so nothing limits throughput.
 * It counts what a client waits for: a Sync or a simple Query (PostgreSQL manual, "Frontend/Backend Protocol") is one
 * round trip.
 */
import net from 'node:net';
import process from 'node:process';
import { MessageCounter } from './message-counter.ts';

/** Bytes that wait here before their source is not read any more. */
const mostWaiting = 64 * 1024 * 1024;
/** Between two looks at what is due. Timers tick in whole milliseconds, and come one late: too coarse for one. */
const lookEveryMs = 0.15;

const [host = '', port = '', delay = ''] = process.argv.slice(2);
const delayMs = Number(delay);
let roundTrips = 0;

const listener = net.createServer((client) => {
  const server = net.connect(
    host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port: Number(port) },
  );
  const counter = new MessageCounter();
  const toServer = new DelayedLine(client, server);
  const toClient = new DelayedLine(server, client);
  for (const socket of [client, server]) {
    socket.setNoDelay(true);
    socket.on('error', () => undefined); // 'close' follows.
  }
  client.on('data', (chunk) => {
    roundTrips += counter.hear(chunk);
    toServer.send(chunk);
  });
  server.on('data', (chunk) => toClient.send(chunk));
  client.on('close', () => toServer.end());
  server.on('close', () => toClient.end());
});

class DelayedLine {
  readonly #source: net.Socket;
  readonly #target: net.Socket;
  readonly #waiting: { readonly at: number; readonly chunk: Buffer }[] = [];
  #bytes = 0;
  #isEnding = false;

  constructor(source: net.Socket, target: net.Socket) {
    this.#source = source;
    this.#target = target;
  }

  send(chunk: Buffer): void {
    this.#waiting.push({ at: performance.now() + delayMs - lookEveryMs, chunk });
    this.#bytes += chunk.length;
    if (this.#bytes > mostWaiting) this.#source.pause();
    look(this);
  }

  /** The target hears of the end when all that came before has arrived. */
  end(): void {
    this.#isEnding = true;
    if (this.#waiting.length === 0) this.#target.destroy();
  }

  /** Hands on what is due; false when nothing waits any more. */
  deliver(): boolean {
    const now = performance.now();
    for (let next = this.#waiting[0]; next !== undefined && next.at <= now; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#bytes -= next.chunk.length;
      this.#target.write(next.chunk);
    }
    if (this.#bytes <= mostWaiting && this.#source.isPaused()) this.#source.resume();
    if (this.#waiting.length > 0) return true;
    if (this.#isEnding) this.#target.end();
    return false;
  }
}

/** Lines on which something waits. */
const looked = new Set<DelayedLine>();
const never = new Int32Array(new SharedArrayBuffer(4));

function look(line: DelayedLine): void {
  if (looked.size === 0) setImmediate(lookAtAll);
  looked.add(line);
}

/** Sleeps a moment where a timer would sleep a millisecond or two; sockets are read between two looks. */
function lookAtAll(): void {
  for (const line of looked) if (!line.deliver()) looked.delete(line);
  if (looked.size === 0) return;
  Atomics.wait(never, 0, 0, lookEveryMs);
  setImmediate(lookAtAll);
}

process.on('message', () => process.send?.({ roundTrips }));
process.on('disconnect', () => process.kill(process.pid, 'SIGTERM')); // The runner is gone.
listener.listen(0, '127.0.0.1', () => process.send?.({ port: (listener.address() as net.AddressInfo).port }));
