import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { spooledInPieces } from '../../test/harness/message.ts';
import { lacks } from '../../test/harness/programs.ts';
import { runProgram } from '../../test/harness/run-program.ts';
import { signMessage } from './dkim-signer.ts';
import { RelaxedBody } from './relaxed-body.ts';
import { signedFields } from './signature-field.ts';
import type { SigningKey } from './signing-keys.ts';

const domain = 'example.org';
const rsa: SigningKey = {
  algorithm: 'rsa2048',
  selector: 'r1',
  key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
};
const ed25519: SigningKey = { algorithm: 'ed25519', selector: 'e1', key: generateKeyPairSync('ed25519').privateKey };

function record({ algorithm, key }: SigningKey): string {
  const der = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const value = (algorithm === 'rsa2048' ? der : der.subarray(-32)).toString('base64');
  return `v=DKIM1; k=${algorithm === 'rsa2048' ? 'rsa' : 'ed25519'}; p=${value}`;
}

const records = new Map([rsa, ed25519].map((key) => [`${key.selector}._domainkey.${domain}`, record(key)]));

async function sign(message: Buffer, pieceBytes = 7): Promise<Buffer> {
  return Buffer.concat([
    await signMessage(await spooledInPieces(message, pieceBytes), domain, [rsa, ed25519], new Date()),
    message,
  ]);
}

async function verify(message: Buffer): Promise<readonly string[]> {
  const { results } = await dkimVerify(message, {
    strict: true,
    resolver: async (name: string) => [[records.get(name) ?? '']],
  });
  return results.map(
    ({ selector, status }: { selector?: string; status: { result: string } }) => `${selector} ${status.result}`,
  );
}

const both = ['r1 pass', 'e1 pass'];

const messages: readonly (readonly [what: string, message: string])[] = [
  [
    'an ordinary one',
    'From: Alice <alice@example.org>\r\nTo: bob@example.com\r\nSubject: hi\r\nDate: x\r\n\r\nHello\r\n',
  ],
  ['folded and blank-ridden fields', 'From:  a@example.org \r\nSubject:\tone\r\n two \t three\r\n\r\nx\r\n'],
  ['no body', 'From: a@example.org\r\n\r\n'],
  ['no empty line', 'From: a@example.org\r\n'],
  ['a body of empty lines', 'From: a@example.org\r\n\r\n\r\n\r\n\r\n'],
  ['empty lines at the end', 'From: a@example.org\r\n\r\nx\r\n\r\n\r\n'],
  ['blanks at line ends', 'From: a@example.org\r\n\r\nx \t \r\n \r\n\t\r\n  y  z\t\r\n \r\n'],
  ['a last line without its break', 'From: a@example.org\r\n\r\nx\r\ny  '],
  [
    'a field that is there twice',
    'From: a@example.org\r\nTo: a@b.c\r\nTo: d@e.f\r\nReceived: x\r\nReceived: y\r\n\r\nx\r\n',
  ],
  ['UTF-8', 'From: a@example.org\r\nSubject: grüße\r\n\r\nGrüße\r\n'],
  ['a very long line', `From: a@example.org\r\n\r\n${'word  '.repeat(40_000)}\r\nend\r\n`],
];

test.each(messages)('%s verifies, in pieces of any size', async (_, text) => {
  for (const pieceBytes of [1, 7, 65_536]) {
    if (pieceBytes === 1 && text.length > 10_000) continue;
    expect(await verify(await sign(Buffer.from(text), pieceBytes))).toEqual(both);
  }
});

test('what was changed on the way does not verify, nor a second From', async () => {
  const signed = (await sign(Buffer.from('From: a@example.org\r\nSubject: hi\r\n\r\nPay 10\r\n'))).toString();
  for (const changed of [
    signed.replace('Pay 10', 'Pay 99'),
    signed.replace('Subject: hi', 'Subject: ho'),
    signed.replace('From: a@example.org', 'From: a@example.org\r\nFrom: boss@example.org'),
    signed.replace('Subject: hi', 'Subject: hi\r\nReply-To: thief@example.net'),
  ]) {
    const results = await verify(Buffer.from(changed));
    expect(results.some((result) => result.endsWith('pass'))).toBe(false);
  }
});

test('every field that is not to be added later is in h= once more than it is there (RFC 6376 section 8.15)', () => {
  const { names } = signedFields('From: a@b.c\r\nTo: x@y.z\r\nList-Id: l\r\nX-Other: 1\r\n\r\n');
  expect(names.filter((name) => name === 'from')).toHaveLength(2);
  expect(names.filter((name) => name === 'cc')).toHaveLength(1);
  expect(names.filter((name) => name === 'list-id')).toHaveLength(1);
  expect(names).not.toContain('x-other');
});

test('the body hash does not depend on how the bytes are cut', () => {
  const text = fc
    .array(fc.constantFrom(' ', '\t', '\r\n', 'a', 'bc', '  \r\n'), { maxLength: 60 })
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 9 }), (body, size) => {
      const bytes = Buffer.from(body);
      const [whole, cut] = [new RelaxedBody(), new RelaxedBody()];
      whole.push(bytes);
      for (let at = 0; at < bytes.length; at += size) cut.push(bytes.subarray(at, at + size));
      expect(cut.digest()).toBe(whole.digest());
    }),
  );
});

test.each([
  ['within', 'y\r\n'],
  ['at the end', '\r\n'],
])('white space %s of a line that is hashed in pieces counts as that of any other', (_, end) => {
  const hashOf = (text: string, size: number): string => {
    const body = new RelaxedBody();
    for (let at = 0; at < text.length; at += size) body.push(Buffer.from(text.slice(at, at + size)));
    return body.digest();
  };
  const word = 'x'.repeat(70_000);
  for (const size of [1000, 66_000, 1_000_000]) {
    expect(hashOf(`${word}${' \t'.repeat(5000)}${end}`, size)).toBe(hashOf(`${word} ${end}`, 1_000_000));
    expect(hashOf(`${' '.repeat(200_000)}${end}`, size)).toBe(hashOf(` ${end}`, 1_000_000));
  }
});

describe.skipIf(lacks('/usr/lib/python3/dist-packages/dkim/__init__.py'))('dkimpy', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'postrider-dkim-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  // It leaves the blanks of a last line without CRLF where they are; RFC 6376 section 3.4.4 doesn't, and SMTP has none.
  test.each(messages.filter(([, text]) => text.endsWith('\r\n')))('verifies %s', async (_, text) => {
    const file = path.join(folder, `${randomBytes(4).toString('hex')}.eml`);
    await writeFile(file, await sign(Buffer.from(text)));
    const script = `
import sys, json, dkim
records = json.loads(sys.argv[2])
lookup = lambda name, timeout=5: records.get((name.decode() if isinstance(name, bytes) else name).rstrip('.'), '').encode()
message = open(sys.argv[1], 'rb').read()
print([dkim.DKIM(message).verify(idx=i, dnsfunc=lookup) for i in range(2)])`;
    const { stdout, stderr } = await runProgram('/usr/bin/python3', [
      '-c',
      script,
      file,
      JSON.stringify(Object.fromEntries(records)),
    ]);
    expect(stderr).toBe('');
    expect(stdout.trim()).toBe('[True, True]');
  });
});
