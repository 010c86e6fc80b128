/**
 * Fifty mail hosts of others in one process, on 127.0.1.1 to 127.0.1.50, and the DNS that names them: TLS 1.3 after
 * STARTTLS, one slow, one that never says a word. Tells the runner its ports; over HTTP it tells what came.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import process from 'node:process';
import { createSecureContext, TLSSocket } from 'node:tls';
import packet from 'dns-packet';
import { deadSink, sinkCount, sinkDomainEnd, slowSink, type SinksCount } from './sinks.ts';

/** Between the final dot and the answer of the slow one. */
const slowMs = 200;
const nxDomain = 3;

const context = createSecureContext({
  cert: readFileSync(process.env['SINK_CERT'] ?? ''),
  key: readFileSync(process.env['SINK_KEY'] ?? ''),
  minVersion: 'TLSv1.3',
});

let messages = 0;
let unsigned = 0;
let connections = 0;
let cpuBefore = process.cpuUsage();
let waiting: { readonly count: number; readonly answer: () => void } | null = null;

const ehlo =
  '250-sink.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n';
const endOfMessage = Buffer.from('\r\n.\r\n');
const signature = Buffer.from('DKIM-Signature:');

/** One connection: commands by lines, messages up to their dot. */
class Session {
  readonly #isSlow: boolean;
  #socket: Socket;
  #held: Buffer = Buffer.alloc(0);
  #isInMessage = false;

  constructor(socket: Socket, isSlow: boolean) {
    this.#isSlow = isSlow;
    this.#socket = socket;
  }

  start(): void {
    this.#listen(this.#socket);
    this.#socket.write('220 sink.test ESMTP\r\n');
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
      this.#work();
    });
    socket.on('error', () => socket.destroy());
  }

  #work(): void {
    let answer = '';
    for (;;) {
      if (this.#isInMessage) {
        const end = this.#held.indexOf(endOfMessage);
        if (end === -1) break;
        this.#took(this.#held.subarray(0, end));
        this.#held = this.#held.subarray(end + endOfMessage.length);
        this.#isInMessage = false;
        if (this.#isSlow) setTimeout(() => this.#socket.write('250 2.0.0 Ok\r\n'), slowMs);
        else answer += '250 2.0.0 Ok\r\n';
        continue;
      }
      const end = this.#held.indexOf('\r\n');
      if (end === -1) break;
      const verb = this.#held.toString('latin1', 0, Math.min(4, end)).toUpperCase();
      this.#held = this.#held.subarray(end + 2);
      if (verb === 'STAR') return this.#startTls();
      answer += this.#answer(verb);
    }
    if (answer !== '') this.#socket.write(answer);
  }

  #answer(verb: string): string {
    switch (verb) {
      case 'EHLO':
        return this.#socket instanceof TLSSocket ? ehlo : ehlo.replace('250 ', '250-STARTTLS\r\n250 ');
      case 'DATA':
        this.#isInMessage = true;
        return '354 go on\r\n';
      case 'QUIT':
        this.#socket.end('221 2.0.0 bye\r\n');
        return '';
      default:
        return '250 2.0.0 Ok\r\n';
    }
  }

  #startTls(): void {
    const plain = this.#socket;
    plain.removeAllListeners('data');
    plain.write('220 2.0.0 go on\r\n');
    this.#socket = new TLSSocket(plain, { isServer: true, secureContext: context });
    this.#listen(this.#socket);
  }

  #took(message: Buffer): void {
    messages += 1;
    if (!message.includes(signature)) unsigned += 1;
    if (waiting !== null && messages >= waiting.count) waiting.answer();
  }
}

function listen(at: number, port: number): Promise<net.Server> {
  const server = net.createServer({ noDelay: true }, (socket) => {
    connections += 1;
    socket.on('error', () => socket.destroy());
    if (at !== deadSink) new Session(socket, at === slowSink).start();
  });
  server.listen(port, `127.0.1.${at}`, 511);
  return once(server, 'listening').then(() => server);
}

/** Each domain has an MX of its own, and no other name exists. */
async function startDns(): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (bytes, { address, port }) => {
    const { id = 0, questions = [] } = packet.decode(bytes);
    const name = questions[0]?.name.toLowerCase() ?? '';
    const [, isHost, number] = /^(mx\.)?d(\d+)\.(.*)$/.exec(name) ?? [];
    const isKnown = name.endsWith(sinkDomainEnd) && number !== undefined;
    const type = questions[0]?.type;
    const answers: packet.Answer[] = [];
    if (isKnown && isHost === undefined && type === 'MX')
      answers.push({ type: 'MX', name, ttl: 300, data: { preference: 10, exchange: `mx.${name}` } });
    if (isKnown && isHost !== undefined && type === 'A')
      answers.push({ type: 'A', name, ttl: 300, data: `127.0.1.${number}` });
    const flags = packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | (isKnown ? 0 : nxDomain);
    socket.send(packet.encode({ type: 'response', id, flags, questions, answers }), port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket.address().port;
}

function counted(): SinksCount {
  const { user, system } = process.cpuUsage(cpuBefore);
  return { messages, unsigned, connections, cpuSeconds: (user + system) / 1e6 };
}

/** `/reset` begins anew, `/wait?messages=N` answers when so many have come. */
async function startControl(): Promise<number> {
  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://sinks');
    if (url.pathname === '/reset') {
      messages = unsigned = connections = 0;
      cpuBefore = process.cpuUsage();
      response.end('{}');
      return;
    }
    const count = Number(url.searchParams.get('messages'));
    const answer = (): void => {
      waiting = null;
      response.end(JSON.stringify(counted()));
    };
    if (messages >= count) answer();
    else waiting = { count, answer };
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const first = await listen(1, 0);
const { port } = first.address() as AddressInfo;
for (let at = 2; at <= sinkCount; at++) await listen(at, port);
const [dnsPort, controlPort] = await Promise.all([startDns(), startControl()]);
process.on('disconnect', () => process.kill(process.pid, 'SIGTERM')); // The runner is gone.
process.send?.({ port, dnsPort, controlPort });
