import { afterEach, describe, expect, test } from 'vitest';
import type { ReplyRules } from '#server/mail/outbound-ports.ts';
import {
  attemptOf,
  directTarget,
  fakeResolver,
  memoryRests,
  only,
  outboundMessage,
  outboundRecipient,
  routeOf,
  smtpTarget,
  testTransport,
  told,
} from '../harness/outbound.ts';
import { ScriptedPeer, type ScriptedPeerOptions } from '../harness/scripted-peer.ts';

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one[Symbol.asyncDispose]();
});

async function peerOf(options: ScriptedPeerOptions = {}): Promise<ScriptedPeer> {
  const peer = await ScriptedPeer.start(options);
  opened.push(peer);
  return peer;
}

const everything = ['PIPELINING', 'SIZE 10000000', '8BITMIME', 'SMTPUTF8', 'DSN', 'MT-PRIORITY', 'DELIVERBY 60'];

async function sendTo(peer: ScriptedPeer, attempt = attemptOf(outboundMessage(), ['b@d.test'])) {
  return testTransport([routeOf('r', [smtpTarget(peer.port)])]).send(attempt, 'r');
}

describe('a transaction', () => {
  test('the envelope in one piece, the message dot-stuffed, with the prefix before it', async () => {
    const peer = await peerOf({ keywords: everything });
    const message = outboundMessage({ prefix: 'X-Signed: yes\r\n' });
    const result = await sendTo(peer, attemptOf(message, ['b@d.test', 'c@d.test']));
    expect(result.outcomes.map(told)).toEqual(['delivered 250 2.0.0 taken', 'delivered 250 2.0.0 taken']);
    expect(result.pace).toEqual({ kind: 'good' });
    const size = message.content.rawSize + message.content.prefix.length;
    expect(peer.commands).toEqual([
      'EHLO us.test',
      `MAIL FROM:<a@here.test> SIZE=${size}`,
      'RCPT TO:<b@d.test>',
      'RCPT TO:<c@d.test>',
      'DATA',
      'QUIT',
    ]);
    expect(peer.messages[0]?.toString()).toBe(
      'X-Signed: yes\r\nFrom: <a@here.test>\r\nTo: <b@d.test>\r\nSubject: x\r\n\r\nHello\r\n..dot\r\nEnd\r\n',
    );
    expect(only(await sendTo(peer)).facts).toMatchObject({
      host: '127.0.0.1',
      address: '127.0.0.1',
      sourceAddress: '127.0.0.1',
      isUncertain: false,
      tls: { version: null, policy: 'opportunistic' },
    });
  });

  test.each([1, 2, 3, 7, 1000])('dots at every place of chunks of %i bytes', async (pieceBytes) => {
    const peer = await peerOf();
    const text = '.\r\n..\r\na.\r\n.b\r\n\r\n.\r\n';
    await sendTo(peer, attemptOf(outboundMessage({ text, pieceBytes }), ['b@d.test']));
    expect(peer.messages.map(String)).toEqual(['..\r\n...\r\na.\r\n..b\r\n\r\n..\r\n']);
  });

  test.each(['no line end', 'lone lf\n', 'lone cr\r', ''])(
    'a message that ends %j still ends for the peer',
    async (text) => {
      const peer = await peerOf();
      expect(only(await sendTo(peer, attemptOf(outboundMessage({ text }), ['b@d.test']))).kind).toBe('delivered');
    },
  );

  test('a large message goes out whole, in pieces', async () => {
    const peer = await peerOf({ keywords: ['PIPELINING'] });
    const text = `${'0123456789abcdef'.repeat(4)}\r\n`.repeat(100_000);
    await sendTo(peer, attemptOf(outboundMessage({ text }), ['b@d.test']));
    expect(peer.messages[0]?.toString() === text).toBe(true);
  });

  test('every extension the peer has is used, for each recipient its own', async () => {
    const peer = await peerOf({ keywords: everything });
    const message = outboundMessage({
      returnPath: 'bounce+1@here.test',
      envid: 'id=1 +x',
      ret: 'headers',
      body: '8bitmime',
      isSmtpUtf8: true,
      priority: 3,
      deliverBy: { at: new Date(Date.now() + 120_400), mode: 'return', isTraced: true },
    });
    const never = outboundRecipient('b@d.test', { notify: 'never' });
    const some = outboundRecipient('jürgen@d.test', {
      notify: ['success', 'failure'],
      orcpt: 'utf-8;jürgen+1@old.test',
    });
    const { outcomes } = await sendTo(peer, attemptOf(message, [never, some]));
    expect(outcomes.every((each) => each.kind === 'delivered' && each.isNotifyPassedOn)).toBe(true);
    expect(peer.commands.slice(1, 4)).toEqual([
      expect.stringMatching(
        /^MAIL FROM:<bounce\+1@here\.test> SIZE=\d+ BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id\+3D1\+20\+2Bx MT-PRIORITY=3 BY=120;RT$/,
      ),
      'RCPT TO:<b@d.test> NOTIFY=NEVER',
      'RCPT TO:<jürgen@d.test> NOTIFY=SUCCESS,FAILURE ORCPT=utf-8;jürgen+2B1@old.test',
    ]);
  });

  test('a peer that knows no EHLO gets HELO and plain commands', async () => {
    const peer = await peerOf({ answer: (verb) => (verb === 'EHLO' ? '502 what?' : undefined) });
    const recipient = outboundRecipient('b@d.test', { notify: ['failure'] });
    const outcome = only(await sendTo(peer, attemptOf(outboundMessage({ envid: 'x', priority: 2 }), [recipient])));
    expect(outcome).toMatchObject({ kind: 'delivered', isNotifyPassedOn: false });
    expect(peer.commands).toEqual([
      'EHLO us.test',
      'HELO us.test',
      'MAIL FROM:<a@here.test>',
      'RCPT TO:<b@d.test>',
      'DATA',
      'QUIT',
    ]);
  });

  test('quoted local parts and the null sender are written as RFC 5321 has them', async () => {
    const peer = await peerOf();
    await sendTo(peer, attemptOf(outboundMessage({ sender: '' }), ['"a b"@d.test']));
    expect(peer.commands.slice(1, 3)).toEqual(['MAIL FROM:<>', 'RCPT TO:<"a b"@d.test>']);
  });
});

describe('what the message needs and the peer lacks', () => {
  test.each([
    [
      'SMTPUTF8',
      { isSmtpUtf8: true },
      'never 5.6.7 the message has addresses or header fields in UTF-8, and the peer does not offer SMTPUTF8',
    ],
    ['8BITMIME', { body: '8bitmime' }, 'never 5.6.3 the message has 8-bit text, and the peer does not offer 8BITMIME'],
    ['SIZE', { text: 'x'.repeat(2000) }, 'never 5.3.4 the message has 2000 bytes, the peer takes 1000 at most'],
    [
      'DELIVERBY',
      { deliverBy: { at: new Date(Date.now() + 60_000), mode: 'return', isTraced: false } },
      'never 5.3.3 the message is to be returned when it is late, and the peer does not offer DELIVERBY',
    ],
  ] as const)('%s', async (_, options, outcome) => {
    const peer = await peerOf({ keywords: ['SIZE 1000'] });
    const result = await sendTo(peer, attemptOf(outboundMessage(options), ['b@d.test']));
    expect(told(only(result))).toBe(outcome);
    expect(result.pace).toEqual({ kind: 'same' });
    expect(peer.commands.some((line) => line.startsWith('MAIL'))).toBe(false);
  });
});

describe('replies', () => {
  const pipelining: readonly (readonly string[])[] = [[], ['PIPELINING']];
  test.each([false, true])('each recipient has its own, PIPELINING %j', async (isPipelining) => {
    const peer = await peerOf({
      keywords: isPipelining ? ['PIPELINING'] : [],
      answer: (verb, line) => {
        if (line.includes('gone@')) return '550 5.1.1 no such user';
        if (line.includes('grey@')) return '450-4.2.0 greylisted\r\n450 4.2.0 come again';
        return line.includes('many@') ? '552 too many' : undefined;
      },
    });
    const to = ['gone@d.test', 'b@d.test', 'grey@d.test', 'many@d.test'];
    const result = await sendTo(peer, attemptOf(outboundMessage(), to));
    expect(result.outcomes.map(told)).toEqual([
      'never 550 5.1.1 no such user',
      'delivered 250 2.0.0 taken',
      'later 450 4.2.0 greylisted come again',
      'later 552 too many',
    ]);
    expect(peer.messages).toHaveLength(1);
  });

  test.each([false, true])(
    'all refused: no message is sent, and the connection serves the next, PIPELINING %j',
    async (isPipelining) => {
      const peer = await peerOf({
        keywords: isPipelining ? ['PIPELINING'] : [],
        answer: (verb, line) => (line.includes('gone@') ? '550 5.1.1 no such user' : undefined),
      });
      const transport = testTransport([routeOf('r', [smtpTarget(peer.port)])]);
      await using lane = transport.openLane({ route: 'r', domain: null });
      expect(told(only(await lane.attempt(attemptOf(outboundMessage(), ['gone@d.test']))))).toBe(
        'never 550 5.1.1 no such user',
      );
      expect(only(await lane.attempt(attemptOf(outboundMessage(), ['b@d.test']))).kind).toBe('delivered');
      expect(peer.sessions).toHaveLength(1);
      // One that took DATA for nobody was told at once that nothing comes.
      expect(peer.messages.filter((message) => message.length > 0)).toHaveLength(1);
    },
  );

  test.each([
    ['MAIL', '451 4.3.0 not now', 'later 451 4.3.0 not now', 'slower'],
    ['MAIL', '550 5.7.1 go away', 'never 550 5.7.1 go away', 'same'],
    ['DATA', '452 4.3.1 full', 'later 452 4.3.1 full', 'slower'],
    ['end', '554 5.7.1 spam', 'never 554 5.7.1 spam', 'same'],
    ['end', '451 4.7.1 wait', 'later 451 4.7.1 wait', 'slower'],
    ['end', '554 2.0.0 a status of another class', 'never 554 2.0.0 a status of another class', 'same'],
  ] as const)('to %s: %s', async (at, reply, outcome, pace) => {
    for (const keywords of pipelining) {
      const peer = await peerOf({ keywords, answer: (verb) => (verb === at ? reply : undefined) });
      const result = await sendTo(peer);
      expect(told(only(result))).toBe(outcome);
      expect(result.pace.kind).toBe(pace);
    }
  });

  test('controls and endless text of a peer do not come through', async () => {
    const text = `550 5.1.1 \u001B[31mred\u202Etxt.exe ${'x'.repeat(5000)}`;
    const peer = await peerOf({ answer: (verb) => (verb === 'RCPT' ? text : undefined) });
    const { reply } = only(await sendTo(peer)).facts;
    expect(reply.text.length).toBe(1000);
    expect(reply.text.startsWith('[31mred txt.exe xxx')).toBe(true);
  });
});

describe('sessions that go wrong', () => {
  const cases: readonly (readonly [string, ScriptedPeerOptions, RegExp, string])[] = [
    ['554 at the greeting', { greeting: '554 5.7.1 blocked' }, /^later 554 5\.7\.1 blocked/, 'blocked'],
    ['421 at the greeting', { greeting: '421 4.3.2 too many' }, /^later 421 4\.3\.2 too many/, 'blocked'],
    ['RFC 7504: a host that takes no mail', { greeting: '521 no mail here' }, /^never 521 no mail here/, 'same'],
    [
      'not SMTP',
      { greeting: 'SSH-2.0-OpenSSH' },
      /^later 4\.5\.0 the peer does not speak SMTP: SSH-2\.0-OpenSSH/,
      'blocked',
    ],
    [
      'a reply without end',
      { greeting: '220-x'.repeat(20_000) },
      /^later 4\.5\.0 a reply of the peer is too long/,
      'blocked',
    ],
    [
      'closes instead of an answer to EHLO',
      { answer: (verb) => (verb === 'EHLO' ? { hangup: true } : undefined) },
      /^later 4\.4\.2 the (connection was lost|peer closed the connection)/,
      'blocked',
    ],
    [
      'closes after MAIL',
      { answer: (verb) => (verb === 'MAIL' ? { hangup: true } : undefined) },
      /^later 4\.4\.2 the (connection was lost|peer closed the connection)/,
      'blocked',
    ],
    [
      '421 to MAIL',
      { answer: (verb) => (verb === 'MAIL' ? { lastWords: '421 4.3.2 stopping' } : undefined) },
      /^later 4\.4\.2 the peer closes: 421 stopping/,
      'blocked',
    ],
  ];
  test.each(cases)('%s', async (_, options, outcome, pace) => {
    const result = await sendTo(await peerOf(options));
    expect(told(only(result))).toMatch(outcome);
    expect(result.pace.kind).toBe(pace);
  });

  test('nobody listens', async () => {
    const peer = await ScriptedPeer.start();
    const { port } = peer;
    await peer[Symbol.asyncDispose]();
    const result = await testTransport([routeOf('r', [smtpTarget(port)])]).send(
      attemptOf(outboundMessage(), ['b@d.test']),
      'r',
    );
    expect(told(only(result))).toBe('later 4.4.1 connection refused');
    expect(result.pace).toEqual({ kind: 'blocked', reason: 'connection refused', forMs: null });
  });

  test.each([
    [
      'greeting',
      { greetingMs: 50 },
      { greeting: '220-only the start' },
      'later 4.4.2 the peer did not answer in time',
      false,
    ],
    [
      'EHLO',
      { commandMs: 50 },
      { answer: (verb: string) => (verb === 'EHLO' ? null : undefined) },
      'later 4.4.2 the peer did not answer in time',
      false,
    ],
    [
      'MAIL',
      { mailMs: 50 },
      { answer: (verb: string) => (verb === 'MAIL' ? null : undefined) },
      'later 4.4.2 the peer did not answer in time',
      false,
    ],
    [
      'the end',
      { endOfDataMs: 50 },
      { answer: (verb: string) => (verb === 'end' ? null : undefined) },
      'later 4.4.2 the peer did not answer in time',
      true,
    ],
  ] as const)('a peer that is silent at %s', async (_, deadlines, options, outcome, isUncertain) => {
    const peer = await peerOf(options);
    const transport = testTransport([routeOf('r', [smtpTarget(peer.port)])], { deadlines });
    const found = only(await transport.send(attemptOf(outboundMessage(), ['b@d.test']), 'r'));
    expect(told(found)).toBe(outcome);
    expect(found.facts.isUncertain).toBe(isUncertain);
  });

  test('a connection lost after the final dot leaves it open whether the peer has the message', async () => {
    const peer = await peerOf({ answer: (verb) => (verb === 'end' ? { hangup: true } : undefined) });
    const outcome = only(await sendTo(peer));
    expect(outcome).toMatchObject({ kind: 'later', facts: { isUncertain: true } });
  });

  test('the lease ran out: no dot is sent, and the recipients are as they were', async () => {
    const peer = await peerOf();
    let asked = 0;
    const isLeaseValid = (): boolean => ++asked < 2;
    const attempt = attemptOf(outboundMessage(), ['b@d.test'], { isLeaseValid });
    expect(told(only(await sendTo(peer, attempt)))).toBe('not-tried the lease ran out');
    expect(peer.messages).toHaveLength(0);
    expect(peer.commands).toContain('DATA');
  });

  test('a message that can’t be read to its end is not ended', async () => {
    const peer = await peerOf();
    const message = outboundMessage({ text: 'x'.repeat(1000), pieceBytes: 100, failsAfterBytes: 500 });
    expect(told(only(await sendTo(peer, attemptOf(message, ['b@d.test']))))).toBe('not-tried the blob is gone');
    expect(peer.messages).toHaveLength(0);
  });

  test('stopping cuts the connection and gives the recipients back', async () => {
    const stop = new AbortController();
    const peer = await peerOf({
      answer: (verb) => {
        if (verb === 'MAIL') stop.abort();
        return verb === 'MAIL' ? null : undefined;
      },
    });
    const attempt = attemptOf(outboundMessage(), ['b@d.test'], { signal: stop.signal });
    const outcome = only(await sendTo(peer, attempt));
    expect(outcome.kind === 'later' || outcome.kind === 'not-tried').toBe(true);
    expect(outcome.facts.isUncertain).toBe(false);
    expect(peer.messages).toHaveLength(0);
  });
});

describe('connections', () => {
  test('one serves many messages; one that the peer closed meanwhile is opened anew without a word', async () => {
    const peer = await peerOf({
      answer: (verb, _line, session) =>
        verb === 'MAIL' && session.messages.length === 2 ? { lastWords: '421 4.4.2 idle too long' } : undefined,
    });
    const transport = testTransport([routeOf('r', [smtpTarget(peer.port)])]);
    await using lane = transport.openLane({ route: 'r', domain: null });
    for (let i = 0; i < 5; i++) {
      expect(only(await lane.attempt(attemptOf(outboundMessage(), ['b@d.test']))).kind).toBe('delivered');
    }
    expect(peer.sessions.map(({ messages }) => messages.length)).toEqual([2, 2, 1]);
  });

  test('an idle one is closed with QUIT', async () => {
    const peer = await peerOf();
    const transport = testTransport([routeOf('r', [smtpTarget(peer.port)])], { deadlines: { idleMs: 20 } });
    await using lane = transport.openLane({ route: 'r', domain: null });
    await lane.attempt(attemptOf(outboundMessage(), ['b@d.test']));
    await expect.poll(() => peer.commands.at(-1)).toBe('QUIT');
    expect(only(await lane.attempt(attemptOf(outboundMessage(), ['b@d.test']))).kind).toBe('delivered');
    expect(peer.sessions).toHaveLength(2);
  });
});

describe('hosts of a domain', () => {
  const mx = (preference: number, exchange: string) => ({ preference, exchange });
  const direct = (port: number) => [routeOf('r', [directTarget(port)])];

  test('the next host is tried when one is dead, refuses us, or closes; the peer’s name is in the facts', async () => {
    const good = await peerOf({ address: '127.0.0.4' });
    const refusing = await peerOf({ address: '127.0.0.2', port: good.port, greeting: '554 not you' });
    await peerOf({
      address: '127.0.0.3',
      port: good.port,
      answer: (verb) => (verb === 'MAIL' ? { lastWords: '421 busy' } : undefined),
    });
    const resolver = fakeResolver({
      'MX d.test': [mx(10, 'dead.test'), mx(20, 'refusing.test'), mx(30, 'closing.test'), mx(40, 'good.test')],
      'A dead.test': ['127.0.0.9'],
      'A refusing.test': ['127.0.0.2'],
      'A closing.test': ['127.0.0.3'],
      'A good.test': ['127.0.0.4'],
    });
    const transport = testTransport(direct(good.port), { resolver });
    const outcome = only(await transport.send(attemptOf(outboundMessage(), ['b@d.test']), 'r', 'd.test'));
    expect(outcome).toMatchObject({ kind: 'delivered', facts: { host: 'good.test', address: '127.0.0.4' } });
    expect(refusing.sessions).toHaveLength(1);
  });

  test('a host whose first address is silent is reached by its second without waiting for the first', async () => {
    const peer = await peerOf({ address: '127.0.0.4' });
    // Takes connections in its backlog, says nothing: what is tested is the refused family, then the next address.
    const resolver = fakeResolver({ 'A d.test': ['127.0.0.8', '127.0.0.4'] });
    const transport = testTransport(direct(peer.port), {
      resolver,
      random: () => 0.5,
      deadlines: { nextAddressMs: 5 },
    });
    const outcome = only(await transport.send(attemptOf(outboundMessage(), ['b@d.test']), 'r', 'd.test'));
    expect(outcome).toMatchObject({ kind: 'delivered', facts: { address: '127.0.0.4' } });
  });

  const failures: readonly (readonly [string, Parameters<typeof fakeResolver>[0], string])[] = [
    ['no such domain', {}, 'never 5.1.2 there is no domain d.test'],
    ['null MX', { 'MX d.test': [mx(0, '')] }, 'never 5.1.10 d.test takes no mail (null MX)'],
    [
      'hosts without address',
      { 'MX d.test': [mx(0, 'x.test')] },
      'never 5.4.4 d.test has no host for mail: x.test has no address',
    ],
    [
      'a loop to us',
      { 'MX d.test': [mx(0, 'us.test')], 'A us.test': ['192.0.2.1'] },
      'never 5.4.6 mail for d.test comes back to us (us.test), but the domain is not here',
    ],
    [
      'SERVFAIL',
      { 'MX d.test': 'servfail' },
      'later 4.4.3 d.test could not be looked up: the resolver could not get an answer (SERVFAIL)',
    ],
    [
      'bogus',
      { 'MX d.test': 'bogus' },
      'later 4.4.3 d.test could not be looked up: the answer fails DNSSEC validation (bogus)',
    ],
    ['timeout', { 'MX d.test': 'timeout' }, 'later 4.4.3 d.test could not be looked up: no answer in time'],
    [
      'a private address',
      { 'A d.test': ['10.0.0.1'] },
      'never 5.4.4 d.test is at 10.0.0.1, a private address, where mail may not go',
    ],
    [
      'the metadata service',
      { 'A d.test': ['169.254.169.254'] },
      'never 5.4.4 d.test is at 169.254.169.254, an address of a cloud metadata service, where mail may not go',
    ],
  ];
  test.each(failures)('%s', async (_, zone, outcome) => {
    const transport = testTransport(direct(25), { resolver: fakeResolver(zone) });
    expect(told(only(await transport.send(attemptOf(outboundMessage(), ['b@d.test']), 'r', 'd.test')))).toBe(outcome);
  });

  test('an address literal is a host; loopback is refused unless the route lists it', async () => {
    const peer = await peerOf();
    const attempt = attemptOf(outboundMessage(), ['b@[127.0.0.1]']);
    const open = testTransport(direct(peer.port));
    expect(only(await open.send(attempt, 'r', '[127.0.0.1]')).kind).toBe('delivered');
    const closed = testTransport([routeOf('r', [directTarget(peer.port, { allowedNetworks: [] })])]);
    expect(told(only(await closed.send(attempt, 'r', '[127.0.0.1]')))).toBe(
      'never 5.4.4 [127.0.0.1] is at 127.0.0.1, an address of this machine, where mail may not go',
    );
    expect(peer.sessions).toHaveLength(1);
  });
});

describe('routes', () => {
  test('targets by priority: the next when one fails; one that keeps failing is left alone for a while', async () => {
    const dead = await ScriptedPeer.start();
    const { port } = dead;
    await dead[Symbol.asyncDispose]();
    const good = await peerOf();
    const route = routeOf('r', [smtpTarget(port, { priority: 1 }), smtpTarget(good.port, { priority: 2 })]);
    const transport = testTransport([route]);
    for (let i = 0; i < 5; i++) {
      expect(only(await transport.send(attemptOf(outboundMessage(), ['b@d.test']), 'r')).kind).toBe('delivered');
    }
    const alone = testTransport([routeOf('r', [smtpTarget(port)])]);
    for (let i = 0; i < 3; i++) await alone.send(attemptOf(outboundMessage(), ['b@d.test']), 'r');
    const resting = await alone.send(attemptOf(outboundMessage(), ['b@d.test']), 'r');
    expect(told(only(resting))).toBe('later 4.4.1 every target of the route r has failed; they rest');
    expect(resting.pace).toMatchObject({ kind: 'blocked', forMs: expect.any(Number) });
    expect(resting.pace.kind === 'blocked' && resting.pace.forMs).toBeGreaterThan(10_000);
  });

  test('a password is sent only over TLS, and a wrong one is told as such', async () => {
    const peer = await peerOf({ keywords: ['AUTH PLAIN LOGIN'] });
    const credentials = { user: 'u', password: 'p' };
    const plain = testTransport([routeOf('r', [smtpTarget(peer.port, { credentials })])]);
    expect(told(only(await plain.send(attemptOf(outboundMessage(), ['b@d.test']), 'r')))).toBe(
      'later 4.7.5 the peer does not offer STARTTLS',
    );
    const refusing = await peerOf({
      keywords: ['AUTH LOGIN'],
      answer: (verb) => (verb === 'AUTH' ? '535 5.7.8 no' : undefined),
    });
    const open = testTransport([routeOf('r', [smtpTarget(refusing.port, { credentials, tls: 'disabled' })])]);
    expect(told(only(await open.send(attemptOf(outboundMessage(), ['b@d.test']), 'r')))).toBe('later 535 5.7.8 no');
    expect(refusing.commands).toEqual(['EHLO us.test', 'AUTH LOGIN']);
  });

  test('an address of ours that a destination turns away rests there; the others go on', async () => {
    const peer = await peerOf({
      answer: (verb) => (verb === 'MAIL' ? '550 5.7.1 your IP is blocked' : undefined),
    });
    const rests = memoryRests();
    const rules: ReplyRules = { classify: () => ({ action: 'block', category: 'reputation' }) };
    const egress = { sourceAddresses: ['127.0.0.1', '127.0.0.7'], socks: null };
    const transport = testTransport([routeOf('r', [smtpTarget(peer.port, { egress })])], { rests, rules });
    const sources = new Set<string | null>();
    for (let i = 0; i < 2; i++) {
      sources.add(only(await transport.send(attemptOf(outboundMessage(), ['b@d.test']), 'r')).facts.sourceAddress);
    }
    expect(sources).toEqual(new Set(['127.0.0.1', '127.0.0.7']));
    expect([...rests.blocked.keys()].toSorted()).toEqual(['127.0.0.1 127.0.0.1', '127.0.0.1 127.0.0.7']);
    expect(told(only(await transport.send(attemptOf(outboundMessage(), ['b@d.test']), 'r')))).toBe(
      'later 4.4.1 127.0.0.1 has turned away every address of ours for now',
    );
  });
});

test('LMTP: one answer for each recipient after the message (RFC 2033 section 4.2)', async () => {
  const answers = ['250 2.1.5 stored', '552 5.2.2 full', '451 4.2.0 busy'];
  for (const keywords of [[], ['PIPELINING']]) {
    const peer = await peerOf({
      lmtp: true,
      keywords,
      answer: (verb, line) => {
        if (verb === 'end') return answers[Number(line)];
        return line.includes('gone@') ? '550 5.1.1 gone' : undefined;
      },
    });
    const target = smtpTarget(peer.port, { kind: 'lmtp', tls: 'disabled' });
    const to = ['b@d.test', 'gone@d.test', 'c@d.test', 'd@d.test'];
    const result = await testTransport([routeOf('r', [target])]).send(attemptOf(outboundMessage(), to), 'r');
    expect(result.outcomes.map(told)).toEqual([
      'delivered 250 2.1.5 stored',
      'never 550 5.1.1 gone',
      'never 552 5.2.2 full',
      'later 451 4.2.0 busy',
    ]);
    expect(peer.commands[0]).toBe('LHLO us.test');
  }
});
