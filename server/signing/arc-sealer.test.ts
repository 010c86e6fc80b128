import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { authenticate } from 'mailauth';
import { expect, test } from 'vitest';
import { silentLogger } from '#shared/observe/logger.ts';
import { spooledInPieces } from '../../test/harness/message.ts';
import { createArcSealer, type Arrival } from './arc-sealer.ts';
import { signMessage } from './dkim-signer.ts';
import type { SigningKey } from './signing-keys.ts';

const makeKey = (selector: string): SigningKey => ({
  algorithm: 'rsa2048',
  selector,
  key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
});
const [author, forwarder] = [makeKey('a'), makeKey('f')];

const record = ({ key }: SigningKey): string =>
  `v=DKIM1; k=rsa; p=${createPublicKey(key).export({ format: 'der', type: 'spki' }).toString('base64')}`;
const zone = new Map([
  ['a._domainkey.author.test TXT', record(author)],
  ['f._domainkey.us.test TXT', record(forwarder)],
  ['author.test TXT', 'v=spf1 ip4:192.0.2.1 -all'],
  ['_dmarc.author.test TXT', 'v=DMARC1; p=reject'],
]);
async function resolver(name: string, type: string): Promise<string[][]> {
  const found = zone.get(`${name} ${type}`);
  if (found === undefined) throw Object.assign(new Error('ENOTFOUND'), { code: 'ENOTFOUND' });
  return [[found]];
}

const arrival: Arrival = {
  remoteAddress: '192.0.2.1',
  helo: 'mx.author.test',
  sender: 'alice@author.test',
  hostname: 'mx.us.test',
};
const keys = { of: async (domain: string) => (domain === 'us.test' ? [forwarder] : []) };
const sealer = createArcSealer({ keys, resolver, logger: silentLogger });

async function written(): Promise<Buffer> {
  const text =
    'From: alice@author.test\r\nTo: team@us.test\r\nSubject: hi\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\nHello\r\n';
  const bytes = Buffer.from(text);
  return Buffer.concat([
    await signMessage(await spooledInPieces(bytes, 100), 'author.test', [author], new Date()),
    bytes,
  ]);
}

test('who gets the message from us sees what SPF, DKIM and DMARC came to here, under a seal that verifies', async () => {
  const message = await written();
  const fields = await sealer.seal(await spooledInPieces(message, 100), arrival, 'us.test');
  for (const name of ['ARC-Seal', 'ARC-Message-Signature', 'ARC-Authentication-Results']) {
    expect(fields.toString()).toMatch(new RegExp(`^${name}: i=1;`, 'm'));
  }
  const { arc, spf } = await authenticate(Buffer.concat([fields, message]), {
    ip: '198.51.100.7',
    helo: 'mx.us.test',
    sender: arrival.sender,
    resolver,
  });
  expect(spf && spf.status.result).toBe('fail');
  expect(arc && arc.status.result).toBe('pass');
  const [, results = ''] = /^ARC-Authentication-Results:([^]*?)\r\n(?=\S)/m.exec(fields.toString()) ?? [];
  for (const result of ['spf=pass', 'dkim=pass', 'dmarc=pass']) expect(results).toContain(result);
});

test('the second who sends it on goes on with the chain; a broken one is left alone', async () => {
  const message = await written();
  const once = Buffer.concat([await sealer.seal(await spooledInPieces(message, 100), arrival, 'us.test'), message]);
  const hop: Arrival = { ...arrival, remoteAddress: '198.51.100.7' };
  expect((await sealer.seal(await spooledInPieces(once, 100), hop, 'us.test')).toString()).toMatch(/^ARC-Seal: i=2;/m);
  const broken = Buffer.from(once.toString().replace('Subject: hi', 'Subject: ho'));
  const fields = (await sealer.seal(await spooledInPieces(broken, 100), hop, 'us.test')).toString();
  expect(fields).not.toMatch(/cv=pass/);
});

test('without a key, or while DNS hangs, the message goes on without', async () => {
  const message = await spooledInPieces(await written(), 100);
  expect(await sealer.seal(message, arrival, 'other.test')).toHaveLength(0);
  const hanging = createArcSealer({
    keys,
    resolver: () => new Promise(() => undefined),
    logger: silentLogger,
    timeoutMs: 50,
  });
  expect(await hanging.seal(message, arrival, 'us.test')).toHaveLength(0);
});
