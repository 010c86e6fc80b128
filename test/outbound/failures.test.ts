/** Failures before a peer has judged the message that the other tests of the transport don't come upon. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { DnsFailureReason } from '#shared/dns/answer.ts';
import type { Route } from '#server/mail/outbound-routes.ts';
import type { TransportOptions } from '#server/transport/transport.ts';
import { makeAuthority } from '../harness/certificates.ts';
import {
  attemptOf,
  directTarget,
  fakeResolver,
  only,
  outboundMessage,
  routeOf,
  smtpTarget,
  testTransport,
  told,
  type MessageOptions,
} from '../harness/outbound.ts';
import { lacks } from '../harness/programs.ts';
import { ScriptedPeer, type ScriptedPeerOptions } from '../harness/scripted-peer.ts';

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one[Symbol.asyncDispose]();
});

async function peerOf(options: ScriptedPeerOptions = {}): Promise<ScriptedPeer> {
  const peer = await ScriptedPeer.start(options);
  opened.push(peer);
  return peer;
}

/** The port of a host that greets, and then does with the connection what the test wants. */
async function hostThat(does: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).write('220 peer.test\r\n');
    does(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened.push({
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  });
  return (server.address() as AddressInfo).port;
}

/** Offers STARTTLS; `then` has what follows. */
function hostBeforeTls(then: (socket: Socket) => void): Promise<number> {
  return hostThat((socket) => {
    socket.on('data', (chunk: Buffer) => {
      const line = chunk.toString('latin1');
      if (line.startsWith('EHLO')) socket.write('250-peer.test\r\n250 STARTTLS\r\n');
      if (!line.startsWith('STARTTLS')) return;
      socket.write('220 go on\r\n');
      then(socket);
    });
  });
}

type Given = Partial<TransportOptions> & { readonly domain?: string; readonly message?: MessageOptions };

async function toldOf(target: Route['targets'][number] | null, given: Given = {}): Promise<string> {
  const { domain = null, message = {}, ...rest } = given;
  const transport = testTransport([routeOf('r', target === null ? [] : [target])], rest);
  return told(only(await transport.send(attemptOf(outboundMessage(message), ['b@d.test']), 'r', domain)));
}

describe('DNS', () => {
  test.each<[DnsFailureReason, string]>([
    ['refused', 'later 4.4.3 d.test could not be looked up: the resolver refuses to answer us'],
    ['unreachable', 'later 4.4.3 d.test could not be looked up: no resolver can be reached'],
    ['malformed', 'later 4.4.3 d.test could not be looked up: the answer makes no sense'],
  ])('%s', async (reason, words) => {
    const resolver = fakeResolver({ 'MX d.test': reason });
    expect(await toldOf(directTarget(25), { resolver, domain: 'd.test' })).toBe(words);
  });

  test('a route’s own host', async () => {
    const resolver = fakeResolver({ 'A relay.test': 'servfail', 'AAAA relay.test': 'servfail' });
    expect(await toldOf(smtpTarget(25, { host: 'relay.test' }), { resolver })).toBe(
      "later 4.4.3 the route's host relay.test could not be looked up: the resolver could not get an answer (SERVFAIL)",
    );
    expect(await toldOf(smtpTarget(25, { host: 'relay.test' }), { resolver: fakeResolver({}) })).toBe(
      "later 4.4.3 the route's host relay.test could not be looked up: it has no address",
    );
  });
});

describe('connections', () => {
  test('a socket that is not there', async () => {
    const target = smtpTarget(0, { kind: 'lmtp', host: '/nowhere/lmtp' });
    expect(await toldOf(target)).toBe('later 4.4.1 no connection (ENOENT)');
  });

  test.skipIf(lacks('python3'))('a host that takes no connection in time', async () => {
    // It never accepts, and its queue is full.
    const program =
      'import socket,time\ns=socket.socket()\ns.bind(("127.0.0.1",0))\ns.listen(0)\nprint(s.getsockname()[1],flush=True)\ntime.sleep(60)';
    const host = spawn('python3', ['-c', program]);
    opened.push({
      [Symbol.asyncDispose]: async () => {
        const ended = once(host, 'exit');
        host.kill();
        await ended;
      },
    });
    const [line] = (await once(host.stdout, 'data')) as [Buffer];
    const port = Number(line.toString());
    const fillers = Array.from({ length: 4 }, () => net.connect(port, '127.0.0.1').on('error', () => undefined));
    await once(fillers[0] as Socket, 'connect');
    expect(await toldOf(smtpTarget(port), { deadlines: { connectMs: 300 } })).toBe('later 4.4.1 no connection in time');
    for (const filler of fillers) filler.destroy();
  });

  test('source addresses: one that is not here, and one of the other family', async () => {
    const peer = await peerOf();
    const from = (address: string) => smtpTarget(peer.port, { egress: { sourceAddresses: [address], socks: null } });
    expect(await toldOf(from('192.0.2.77'))).toBe('later 4.4.1 the source address is not one of this machine');
    expect(await toldOf(from('::1'))).toBe(
      'later 4.4.1 127.0.0.1 has no address of the family that the route sends from',
    );
  });

  test('a route without a target that can be used, and one that is gone', async () => {
    expect(await toldOf(null)).toBe("later 4.3.5 the route r can not be used; the server's log says why");
    const gone = await testTransport([]).send(attemptOf(outboundMessage(), ['b@d.test']), 'r');
    expect(told(only(gone))).toBe('later 4.4.4 there is no route r');
    const unnamed = await toldOf(directTarget(25));
    expect(unnamed).toBe('never 5.4.4 the route has no next hop for this recipient');
  });

  test('a connection that is reset', async () => {
    const port = await hostThat((socket) => socket.once('data', () => socket.resetAndDestroy()));
    expect(await toldOf(smtpTarget(port))).toMatch(/^later 4\.4\.2 the connection was lost( \(ECONNRESET\))?$/);
  });

  test('a peer that closes in order, and one that does not read', async () => {
    const peer = await peerOf({ answer: (verb) => (verb === 'MAIL' ? { lastWords: '250 ok' } : undefined) });
    expect(await toldOf(smtpTarget(peer.port))).toMatch(/^later 4\.4\.2 the peer closed the connection$/);
    const port = await hostThat((socket) => {
      socket.once('data', () => {
        socket.write('250 peer.test\r\n250 ok\r\n250 ok\r\n354 go on\r\n');
        socket.pause();
      });
    });
    const text = `Subject: x\r\n\r\n${'y'.repeat(70)}\r\n`.padEnd(32 * 1024 * 1024, 'z');
    const words = await toldOf(smtpTarget(port), { message: { text }, deadlines: { pieceMs: 300 } });
    expect(words).toBe('later 4.4.2 the peer did not read in time');
  });

  test('a peer that speaks before the end of the message is not sent the rest', async () => {
    const port = await hostThat((socket) => {
      socket.once('data', () => socket.write('250 peer.test\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 ok\r\n'));
    });
    const text = 'z'.repeat(16 * 1024 * 1024);
    expect(await toldOf(smtpTarget(port), { message: { text } })).toBe(
      'later 4.4.2 the peer answered before the end of the message',
    );
  });
});

describe('TLS', () => {
  const required = (port: number) => smtpTarget(port, { tls: 'required' });

  test('a certificate of an authority that nobody here knows, and one that is not valid yet', async () => {
    const authority = await makeAuthority('Nobody');
    const unknown = await peerOf({ tls: await authority.issue(['127.0.0.1']) });
    expect(await toldOf(required(unknown.port))).toMatch(
      /^later 4\.7\.5 the certificate of 127\.0\.0\.1 is from no authority that is trusted here \([A-Z_]+\)$/,
    );
    const early = await peerOf({ tls: await authority.issue(['127.0.0.1'], 20, 10) });
    expect(await toldOf(smtpTarget(early.port, { tls: 'required', ca: authority.cert }))).toBe(
      'later 4.7.5 the certificate of 127.0.0.1 is not valid yet',
    );
  });

  test('a handshake that fails', async () => {
    const port = await hostBeforeTls((socket) => socket.write('500 what is this\r\n'));
    expect(await toldOf(required(port))).toMatch(
      /^later 4\.7\.5 (the TLS handshake failed \(|the peer sent more after its answer to STARTTLS)/,
    );
    const other = await hostBeforeTls((socket) => {
      socket.removeAllListeners('data').once('data', () => socket.write('500 what is this\r\n'));
    });
    expect(await toldOf(required(other))).toMatch(/^later 4\.7\.5 the TLS handshake failed \([A-Z_]+\)$/);
  });

  test('one that the peer ends, and one that it never ends', async () => {
    const closing = await hostBeforeTls((socket) => socket.removeAllListeners('data').once('data', () => socket.end()));
    expect(await toldOf(required(closing))).toMatch(
      /^later 4\.7\.5 (the peer closed the connection during the handshake|the TLS handshake failed \([A-Z_]+\))$/,
    );
    const silent = await hostBeforeTls((socket) => socket.removeAllListeners('data').resume());
    expect(await toldOf(required(silent), { deadlines: { handshakeMs: 100 } })).toBe(
      'later 4.7.5 the TLS handshake took too long',
    );
  });
});

test('a message whose time is over is not sent to a peer that knows such times (RFC 2852)', async () => {
  const peer = await peerOf({ keywords: ['DELIVERBY'] });
  const deliverBy = { at: new Date(Date.now() - 1000), mode: 'return', isTraced: false } as const;
  expect(await toldOf(smtpTarget(peer.port), { message: { deliverBy } })).toBe(
    'never 5.4.7 the time for its delivery is over',
  );
});
