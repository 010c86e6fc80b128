/**
 * Messages of all MIME shapes. Most are not ours: they are gathered at test time from the test suite of
 * CPython's email package (Debian package libpython3.11-testsuite), from its data files and from the literals
 * of its tests. The names say where each comes from:
 *   python/…     as in that package, byte for byte but for line breaks
 *   forwarded/…  one of those, put by us into a message/rfc822, a digest or a multipart
 *   own/…        made by us, for shapes that the others lack
 */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { runProgram } from '../harness/run-program.ts';
import type { CorpusMessage } from './corpus-message.ts';
import { ownMessages } from './own-messages.ts';

const suite = '/usr/lib/python3.11/test';
const literalFiles: readonly string[] = ['test_mailbox.py', 'test_nntplib.py', 'test_poplib.py', 'test_smtpd.py'];

/** All messages, with CRLF line breaks as APPEND and SMTP want them, each content once, in a fixed order. */
export async function corpusMessages(): Promise<readonly CorpusMessage[]> {
  if (!existsSync(`${suite}/test_email/data`)) {
    throw new Error(`${suite} has no test_email: install the Debian package libpython3.11-testsuite`);
  }
  const outside = unique([...(await dataMessages()), ...(await literalMessages())]);
  return unique([...outside, ...forwarded(outside), ...ownMessages()]);
}

async function dataMessages(): Promise<readonly CorpusMessage[]> {
  const folder = `${suite}/test_email/data`;
  const files = (await readdir(folder)).filter((file) => /^msg_\w+\.txt$/.test(file)).toSorted();
  return Promise.all(
    files.map(async (file) => ({
      name: `python/${file}`,
      bytes: withCrlf(await readFile(path.join(folder, file))),
    })),
  );
}

async function literalMessages(): Promise<readonly CorpusMessage[]> {
  const tests = (await readdir(`${suite}/test_email`)).filter((file) => /^test_.*\.py$/.test(file)).toSorted();
  const files = [
    ...tests.map((file) => `${suite}/test_email/${file}`),
    ...literalFiles.map((file) => `${suite}/${file}`),
  ].filter((file) => existsSync(file));
  const script = path.join(import.meta.dirname, 'python-messages.py');
  const ran = await runProgram('python3', [script, ...files]);
  if (ran.code !== 0) throw new Error(`python-messages.py: ${ran.stderr}`);
  return ran.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as [string, string])
    .map(([name, base64]) => ({ name: `python/${name}`, bytes: withCrlf(Buffer.from(base64, 'base64')) }));
}

/** Some of the outside messages inside others, as mailing lists and forwarding make them. */
function forwarded(messages: readonly CorpusMessage[]): readonly CorpusMessage[] {
  const made: CorpusMessage[] = [];
  for (const [index, { name, bytes }] of messages.entries()) {
    if (index % 5 !== 0) continue;
    const inner = bytes.toString('latin1');
    const form = forms[(index / 5) % forms.length] as (inner: string, next: string) => string;
    const next = messages[(index + 7) % messages.length]?.bytes.toString('latin1') ?? '';
    made.push({ name: `forwarded/${form.name}/${name}`, bytes: Buffer.from(form(inner, next), 'latin1') });
  }
  return made;
}

const header = 'From: corpus@example.org\r\nTo: list@example.org\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\n';

const forms: readonly ((inner: string, next: string) => string)[] = [
  function message(inner) {
    return `${header}Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n${inner}`;
  },
  function attached(inner) {
    const type = 'Content-Type: multipart/mixed; boundary="-outer-0e5f-"\r\n\r\n';
    const text = '---outer-0e5f-\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSee below.\r\n';
    const part = '---outer-0e5f-\r\nContent-Type: message/rfc822; name="forwarded.eml"\r\n\r\n';
    return `${header}${type}${text}${part}${inner}\r\n---outer-0e5f---\r\n`;
  },
  function digest(inner, next) {
    const type = 'Content-Type: multipart/digest; boundary="digest 0e5f"\r\n\r\nPreamble.\r\n';
    return `${header}${type}--digest 0e5f\r\n\r\n${inner}\r\n--digest 0e5f\r\n\r\n${next}\r\n--digest 0e5f--\r\nEpilogue.\r\n`;
  },
  function twice(inner) {
    const outer = `${header}Content-Type: multipart/mixed; boundary="a0e5f"\r\n\r\n--a0e5f\r\nContent-Type: message/rfc822\r\n\r\n`;
    const middle = `Subject: Fwd: Fwd\r\nContent-Type: multipart/mixed; boundary="a0e5fb"\r\n\r\n--a0e5fb\r\nContent-Type: message/rfc822\r\n\r\n`;
    return `${outer}${middle}${inner}\r\n--a0e5fb--\r\n\r\n--a0e5f--\r\n`;
  },
];

function withCrlf(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').replaceAll(/\r\n|\r|\n/g, '\r\n').replaceAll('\0', ''), 'latin1');
}

function unique(messages: readonly CorpusMessage[]): readonly CorpusMessage[] {
  const seen = new Set<string>();
  return messages.filter(({ bytes }) => {
    const key = bytes.toString('latin1');
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
