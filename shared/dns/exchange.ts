/** One question to one server: UDP from a port of its own, TCP where the answer doesn't fit. */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import type { RecordData, RecordType } from './answer.ts';
import { decodeReply, encodeQuestion } from './message.ts';
import type { Asked, Reply } from './message.ts';

export type DnsServer = { readonly address: string; readonly port: number };

export type Exchange<Type extends RecordType> = {
  readonly server: DnsServer;
  readonly name: string;
  readonly type: Type;
  readonly timeoutMs: number;
  /** What the server is; a resolver unless told. */
  readonly asked?: Asked;
};

type Failed = 'timeout' | 'unreachable' | 'malformed';

/**
 * Resolves with the server's reply, or with why there is none. Who forges an answer has to guess the id and the
 * port (RFC 5452): each question has both afresh, and what doesn't fit it is passed over.
 */
export async function exchange<Type extends RecordType>(
  question: Exchange<Type>,
): Promise<Reply<RecordData[Type]> | Failed> {
  const id = randomInt(0x1_0000);
  const packet = encodeQuestion(id, question.name, question.type, question.asked);
  const startedAt = performance.now();
  const read = (message: Buffer) => decodeReply(message, id, question.name, question.type, question.asked);
  const reply = await overUdp(question, packet, read);
  if (reply !== 'truncated') return reply;
  const leftMs = Math.max(500, question.timeoutMs - (performance.now() - startedAt));
  return overTcp({ ...question, timeoutMs: leftMs }, packet, read);
}

type Read<T> = (message: Buffer) => T | 'truncated' | null;
type Peer = Pick<Exchange<RecordType>, 'server' | 'timeoutMs'>;

function overUdp<T>({ server, timeoutMs }: Peer, packet: Buffer, read: Read<T>): Promise<T | 'truncated' | Failed> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
    let hasAnswer = false;
    const end = (outcome: T | 'truncated' | Failed): void => {
      if (hasAnswer) return;
      hasAnswer = true;
      clearTimeout(timer);
      socket.close();
      resolve(outcome);
    };
    // A question that nobody waits for any more does not keep the program from ending.
    const timer = setTimeout(() => end('timeout'), timeoutMs).unref();
    socket.unref();
    socket.on('error', () => end('unreachable'));
    socket.on('message', (message) => {
      const reply = read(message);
      if (reply !== null) end(reply);
    });
    // Connected: the system drops what comes from anywhere else, and says when nobody listens there.
    socket.connect(server.port, server.address, () => {
      if (!hasAnswer) socket.send(packet);
    });
  });
}

/** RFC 7766: two bytes of length before each message. */
function overTcp<T>({ server, timeoutMs }: Peer, packet: Buffer, read: Read<T>): Promise<T | Failed> {
  return new Promise((resolve) => {
    const socket = connect({ host: server.address, port: server.port, noDelay: true });
    let received = Buffer.alloc(0);
    const end = (outcome: T | Failed): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => end('timeout'), timeoutMs).unref();
    socket.unref();
    socket.on('error', () => end('unreachable'));
    socket.on('close', () => end('malformed'));
    socket.on('connect', () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(packet.length);
      socket.write(Buffer.concat([length, packet]));
    });
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      // The length bounds what is kept: 64 KiB.
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const reply = read(received.subarray(2, 2 + received.readUInt16BE(0)));
      end(reply === null || reply === 'truncated' ? 'malformed' : reply);
    });
  });
}
