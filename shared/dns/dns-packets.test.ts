import { decode, encode, type Answer, type Packet } from 'dns-packet';
import { createSocket, type Socket } from 'node:dgram';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock, type Clock } from '#shared/base/clock.ts';
import { AnswerCache } from './answer-cache.ts';
import { decodeReply, encodeQuestion } from './message.ts';
import { createResolver } from './resolver.ts';
import { parseDnsServer, parseResolvConf } from './system-servers.ts';

const opened: (Socket | Server)[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

type Script = (question: Packet, overTcp: boolean) => Buffer | null;

/** UDP on a port that is free for TCP too: another program may have it there. */
async function bindWithTcp(): Promise<[udp: Socket, port: number]> {
  for (;;) {
    const udp = createSocket('udp4');
    await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
    const { port } = udp.address();
    const isFree = await new Promise<boolean>((resolve) => {
      const probe = createServer()
        .once('error', () => resolve(false))
        .listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (isFree) return [udp, port];
    udp.close();
  }
}

/** A name server that answers as `script` says, over UDP and TCP on one port. */
async function serve(script: Script): Promise<{ address: string; port: number; asked: string[] }> {
  const asked: string[] = [];
  const [udp, port] = await bindWithTcp();
  const note = (packet: Buffer, transport: string): Packet => {
    const question = decode(packet);
    asked.push(`${transport} ${question.questions?.[0]?.type} ${question.questions?.[0]?.name}`);
    return question;
  };
  udp.on('message', (packet, from) => {
    const reply = script(note(packet, 'udp'), false);
    if (reply) udp.send(reply, from.port, from.address);
  });
  const tcp = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      const reply = script(note(chunk.subarray(2), 'tcp'), true);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply?.length ?? 0);
      // In two pieces, as a network may.
      if (!reply) return;
      socket.write(length);
      socket.write(reply);
    });
  });
  await new Promise<void>((resolve) => tcp.listen(port, '127.0.0.1', resolve));
  opened.push(udp, tcp);
  return { address: '127.0.0.1', port, asked };
}

const AA_RESPONSE = 0x8180;
const AD = 0x20;

function reply(question: Packet, parts: Partial<Packet>, flags = 0): Buffer {
  return encode({
    type: 'response',
    id: question.id ?? 0,
    flags: AA_RESPONSE | flags,
    questions: question.questions ?? [],
    ...parts,
  });
}

const soa = (minimum: number): Answer => ({
  type: 'SOA',
  name: 'test',
  ttl: 900,
  data: { mname: 'ns.test', rname: 'root.test', minimum },
});

function manualClock(): Clock & { advance(ms: number): void } {
  let now = 0;
  return { now: () => new Date(now), monotonicMs: () => now, advance: (ms) => void (now += ms) };
}

function resolverOf(server: { address: string; port: number }, clock: Clock = systemClock) {
  return createResolver({ servers: [server], clock, timeoutsMs: [300, 300] });
}

test('a CNAME is followed within the answer, and AD is passed on', async () => {
  const server = await serve((question) =>
    reply(
      question,
      {
        answers: [
          { type: 'A', name: 'real.test', ttl: 60, data: '192.0.2.7' },
          { type: 'CNAME', name: 'www.test', ttl: 60, data: 'Real.test' },
        ],
      },
      AD,
    ),
  );
  expect(await resolverOf(server).resolve('www.test', 'A')).toEqual({
    kind: 'records',
    records: ['192.0.2.7'],
    canonicalName: 'real.test',
    isAuthentic: true,
  });
});

test('an answer that is cut off is asked for again over TCP', async () => {
  const records: Answer[] = Array.from({ length: 80 }, (_, i) => ({
    type: 'TXT',
    name: 'big.test',
    ttl: 60,
    data: [`${i}`.padStart(200, 'x'), 'second'],
  }));
  const server = await serve((question, overTcp) =>
    overTcp ? reply(question, { answers: records }) : reply(question, { answers: [] }, 0x0200),
  );
  const answer = await resolverOf(server).resolve('big.test', 'TXT');
  expect(answer).toMatchObject({ kind: 'records', isAuthentic: false });
  expect(answer.kind === 'records' && answer.records.length).toBe(80);
  expect(answer.kind === 'records' && answer.records[0]?.[1]).toBe('second');
  expect(server.asked).toEqual(['udp TXT big.test', 'tcp TXT big.test']);
});

test('NXDOMAIN and NODATA are kept for the SOA’s minimum, records for their TTL', async () => {
  const clock = manualClock();
  const server = await serve((question) => {
    const name = question.questions?.[0]?.name;
    if (name === 'none.test') return reply(question, { authorities: [soa(30)] }, 3);
    if (name === 'empty.test') return reply(question, { authorities: [soa(10)] });
    return reply(question, {
      answers: [{ type: 'MX', name: 'mx.test', ttl: 20, data: { preference: 5, exchange: 'A.test' } }],
    });
  });
  const resolver = resolverOf(server, clock);
  const ask = async () => [
    (await resolver.resolve('none.test', 'MX')).kind,
    (await resolver.resolve('empty.test', 'MX')).kind,
    (await resolver.resolve('mx.test', 'MX')).kind,
  ];
  expect(await ask()).toEqual(['no-name', 'no-data', 'records']);
  expect(await resolver.resolve('MX.test', 'MX')).toMatchObject({ records: [{ preference: 5, exchange: 'a.test' }] });
  expect(server.asked).toHaveLength(3);
  clock.advance(9_999);
  await ask();
  expect(server.asked).toHaveLength(3);
  clock.advance(1);
  await ask();
  expect(server.asked).toHaveLength(4);
  clock.advance(20_000);
  await ask();
  expect(server.asked.slice(4)).toEqual(['udp MX none.test', 'udp MX empty.test', 'udp MX mx.test']);
});

test('a negative answer without SOA is not kept (RFC 2308 section 5)', async () => {
  const server = await serve((question) => reply(question, {}, 3));
  const resolver = resolverOf(server);
  await resolver.resolve('none.test', 'A');
  await resolver.resolve('none.test', 'A');
  expect(server.asked).toHaveLength(2);
});

describe('failures', () => {
  test('SERVFAIL is one, and is remembered for five seconds (RFC 9520)', async () => {
    const clock = manualClock();
    const server = await serve((question) => reply(question, {}, 2));
    const resolver = resolverOf(server, clock);
    expect(await resolver.resolve('bad.test', 'A')).toEqual({ kind: 'failure', reason: 'servfail' });
    await resolver.resolve('bad.test', 'A');
    expect(server.asked).toHaveLength(1);
    clock.advance(5_000);
    await resolver.resolve('bad.test', 'A');
    expect(server.asked).toHaveLength(2);
  });

  test('an extended error says that validation failed (RFC 8914)', async () => {
    const server = await serve((question) => {
      const options = [{ code: 15, data: Buffer.from([0, 6, 0x78]) }] as never;
      const opt = { type: 'OPT', name: '.', udpPayloadSize: 1232, extendedRcode: 0, ednsVersion: 0, flags: 0 };
      return reply(question, { additionals: [{ ...opt, options, flag_do: false } as Answer] }, 2);
    });
    expect(await resolverOf(server).resolve('bad.test', 'A')).toEqual({ kind: 'failure', reason: 'bogus' });
  });

  test('a server that refuses, and one that says nothing', async () => {
    const refusing = await serve((question) => reply(question, {}, 5));
    expect(await resolverOf(refusing).resolve('a.test', 'A')).toEqual({ kind: 'failure', reason: 'refused' });
    const silent = await serve(() => null);
    expect(await resolverOf(silent).resolve('a.test', 'A')).toEqual({ kind: 'failure', reason: 'timeout' });
    expect(silent.asked).toHaveLength(2);
  });

  test('where nobody listens', async () => {
    const server = await serve(() => null);
    for (const one of opened.splice(0)) one.close();
    expect(await resolverOf(server).resolve('a.test', 'A')).toEqual({ kind: 'failure', reason: 'unreachable' });
  });

  test('the next server is asked when one fails', async () => {
    const bad = await serve((question) => reply(question, {}, 2));
    const good = await serve((question) =>
      reply(question, { answers: [{ type: 'A', name: 'a.test', ttl: 9, data: '192.0.2.1' }] }),
    );
    const resolver = createResolver({ servers: [bad, good], clock: systemClock, timeoutsMs: [300] });
    expect(await resolver.resolve('a.test', 'A')).toMatchObject({ kind: 'records' });
  });
});

test('what does not fit the question is passed over: another id, another name', () => {
  const asked = encodeQuestion(7, 'a.test', 'A');
  const answers: Answer[] = [{ type: 'A', name: 'a.test', ttl: 1, data: '192.0.2.66' }];
  const question = decode(asked);
  expect(decodeReply(reply({ ...question, id: 8 }, { answers }), 7, 'a.test', 'A')).toBeNull();
  const other = { ...question, questions: [{ type: 'A' as const, name: 'b.test' }] };
  expect(decodeReply(reply(other, { answers }), 7, 'a.test', 'A')).toBeNull();
  expect(decodeReply(asked, 7, 'a.test', 'A')).toBeNull();
  expect(decodeReply(Buffer.from('junk'), 7, 'a.test', 'A')).toBeNull();
  expect(decodeReply(reply(question, { answers }), 7, 'A.TEST.', 'A')).toMatchObject({ answer: { kind: 'records' } });
});

test('the same question is asked once at a time, and may be given up', async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const udp = createSocket('udp4');
  let asked = 0;
  udp.on('message', (packet, from) => {
    asked += 1;
    const question = decode(packet);
    const answers: Answer[] = [{ type: 'A', name: 'a.test', ttl: 9, data: '192.0.2.1' }];
    void held.then(() => udp.send(reply(question, { answers }), from.port, from.address));
  });
  await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
  opened.push(udp);
  const resolver = createResolver({
    servers: [{ address: '127.0.0.1', port: udp.address().port }],
    clock: systemClock,
  });
  const stop = new AbortController();
  const first = resolver.resolve('a.test', 'A', stop.signal);
  const second = resolver.resolve('a.test', 'A');
  stop.abort(new Error('stop'));
  await expect(first).rejects.toThrow('stop');
  release();
  expect(await second).toMatchObject({ records: ['192.0.2.1'] });
  expect(asked).toBe(1);
});

test('the cache is bounded: what was used longest ago goes', () => {
  const cache = new AnswerCache(2, () => 0);
  const answer = { kind: 'no-data', canonicalName: '', isAuthentic: false } as const;
  cache.put('a', answer, 10);
  cache.put('b', answer, 10);
  cache.get('a');
  cache.put('c', answer, 10);
  expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual([answer, null, answer]);
  expect(cache.size).toBe(2);
});

test('resolv.conf and servers of a setting', () => {
  expect(parseResolvConf('# x\nsearch a\nnameserver 10.0.0.10\nnameserver\t2001:db8::1\nnameserver x\n')).toEqual([
    { address: '10.0.0.10', port: 53 },
    { address: '2001:db8::1', port: 53 },
  ]);
  expect(parseDnsServer('127.0.0.1:5353')).toEqual({ address: '127.0.0.1', port: 5353 });
  expect(parseDnsServer('[::1]:5353')).toEqual({ address: '::1', port: 5353 });
  expect(parseDnsServer('::1')).toEqual({ address: '::1', port: 53 });
  for (const bad of ['', 'dns.test', '127.0.0.1:0', '127.0.0.1:99999', '[127.0.0.1]:53']) {
    expect(parseDnsServer(bad), bad).toBeNull();
  }
});
