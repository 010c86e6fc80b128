import { afterEach, expect, test } from 'vitest';
import { createTransport } from '#server/transport/transport.ts';
import { directTarget, fakeResolver, smtpTarget, testTransport } from '../harness/outbound.ts';
import { freePorts } from '../harness/ports.ts';
import { makeAuthority } from '../harness/certificates.ts';
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

const never = new AbortController().signal;
const resolver = fakeResolver({ 'A relay.test': ['127.0.0.1'] });
const prober = createTransport(testTransport([], { resolver }).options);
const credentials = { user: 'u', password: 'secret of the route' };

test('a host that would take mail is reachable, and is sent none', async () => {
  const peer = await peerOf({ keywords: ['PIPELINING'] });
  const probe = await prober.probe(smtpTarget(peer.port), never);
  expect(probe).toMatchObject({
    target: `Smarthost 127.0.0.1:${peer.port}`,
    state: 'Reachable',
    reason: 'Reachable',
    message: '',
  });
  expect(probe.latencyMs).toBeGreaterThanOrEqual(0);
  expect(peer.commands).toEqual(['EHLO us.test', 'QUIT']);
});

test('a port where nobody listens', async () => {
  const [port = 0] = await freePorts(1);
  const probe = await prober.probe(smtpTarget(port), never);
  expect(probe).toMatchObject({ state: 'Unreachable', reason: 'ConnectFailed' });
  expect(probe.message).toMatch(/ECONNREFUSED|refused/i);
});

test('a name that is none', async () => {
  const probe = await prober.probe(smtpTarget(25, { host: 'relay.gone.test' }), never);
  expect(probe).toMatchObject({ target: 'Smarthost relay.gone.test:25', state: 'Unreachable', reason: 'DNSFailure' });
});

test('TLS is asked for as the route has it', async () => {
  const authority = await makeAuthority('Test authority');
  const certificate = await authority.issue(['relay.test']);
  const peer = await peerOf({ keywords: [], tls: certificate });
  const required = smtpTarget(peer.port, { host: 'relay.test', tls: 'required' });
  expect(await prober.probe(required, never)).toMatchObject({ state: 'Unreachable', reason: 'TLSFailed' });
  expect(await prober.probe({ ...required, ca: authority.cert }, never)).toMatchObject({ state: 'Reachable' });
  const plain = await peerOf({ keywords: [] });
  const probe = await prober.probe(smtpTarget(plain.port, { tls: 'required' }), never);
  expect(probe).toMatchObject({ state: 'Unreachable', reason: 'TLSFailed' });
});

test('a refused login, without the password in what is said of it', async () => {
  const peer = await peerOf({
    keywords: ['AUTH PLAIN'],
    answer: (verb) => (verb === 'AUTH' ? '535 5.7.8 no such login' : undefined),
  });
  const probe = await prober.probe(smtpTarget(peer.port, { tls: 'disabled', credentials }), never);
  expect(probe).toMatchObject({ state: 'Unreachable', reason: 'AuthFailed' });
  expect(probe.message).toContain('535');
  expect(JSON.stringify(probe)).not.toContain('secret of the route');
});

test('a host that does not want us', async () => {
  const peer = await peerOf({ greeting: '554 5.7.1 go away' });
  const probe = await prober.probe(smtpTarget(peer.port), never);
  expect(probe).toMatchObject({ state: 'Unreachable', reason: 'Refused' });
  expect(probe.message).toContain('554');
});

test('targets that are not hosts are not tried', async () => {
  for (const target of [
    directTarget(25),
    { kind: 'capture', priority: 0, weight: 1 } as const,
    { kind: 'http', priority: 0, weight: 1, url: 'https://a.example/in', key: null } as const,
  ]) {
    expect(await prober.probe(target, never)).toMatchObject({
      state: 'NotProbed',
      reason: 'NotProbed',
      latencyMs: null,
    });
  }
});
