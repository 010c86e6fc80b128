import { afterEach, expect, test } from 'vitest';
import { openBench, type Bench, type SmtpClient } from './smtp-bench.ts';

let bench: Bench;
afterEach(() => bench[Symbol.asyncDispose]());

async function open(options = {}): Promise<SmtpClient> {
  bench = await openBench({ options });
  return bench.dial();
}

const smuggled =
  'MAIL FROM:<boss@sender.test>\r\nRCPT TO:<bob@home.test>\r\nDATA\r\nSubject: smuggled\r\n\r\npay at once\r\n';

// The ends of data that some servers took for one ("SMTP smuggling", 2023), and their kin.
const wrongEnds: readonly string[] = [
  '\n.\n',
  '\n.\r\n',
  '\r\n.\n',
  '\r.\r',
  '\r.\r\n',
  '\r\n.\r',
  '\r\r\n.\r\r\n',
  '\n\n.\n\n',
  '\n\r.\n\r',
  '\r\n\0.\r\n',
  '\r\n.\0\r\n',
  '\0\r\n.\r\0\n',
  '\r\n\x0b.\x0b\r\n',
];

test.each(wrongEnds)('%j does not end a message', async (end) => {
  using client = await open();
  await client.begin('alice@home.test');
  const reply = await client.data(`Subject: s\r\n\r\nfirst${end}${smuggled}`);
  const isWellFormed = !/\r(?!\n)|(?<!\r)\n|\0/.test(end);
  expect(reply).toMatch(isWellFormed ? /^250 / : /^550 5\.6\.0 /);
  // The session is in step: what was inside the message was no command.
  expect(await client.say('NOOP')).toMatch(/^250 2\.0\.0 OK$/);
  expect(await bench.inbox(bench.bob)).toHaveLength(0);
  expect(await bench.inbox(bench.alice)).toHaveLength(isWellFormed ? 1 : 0);
});

test.each(wrongEnds)('%j, where line endings are mended, is still one message', async (end) => {
  using client = await open({ normaliseLineEndings: true });
  await client.begin('alice@home.test');
  expect(await client.data(`Subject: s\r\n\r\nfirst${end}${smuggled}`)).toMatch(/^250 /);
  const [stored] = await bench.inbox(bench.alice);
  expect(stored).toContain('pay at once\r\n');
  expect(stored).not.toMatch(/\r(?!\n)|(?<!\r)\n|\0/);
  expect(await bench.inbox(bench.bob)).toHaveLength(0);
});

test.each([1, 2, 3, 4, 5])('a wrong end cut into pieces of %i bytes is none either', async (size) => {
  using client = await open();
  await client.begin('alice@home.test');
  await client.say('DATA');
  const bytes = Buffer.from(`a\r\n.\nb\n.\r\nc\r.\rd${smuggled}\r\n.\r\n`, 'latin1');
  for (let at = 0; at < bytes.length; at += size) {
    client.write(bytes.subarray(at, at + size));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await client.reply()).toMatch(/^550 5\.6\.0 /);
  expect(await client.say('NOOP')).toMatch(/^250/);
});

test('a leading dot that arrives alone is no end (RFC 5321 section 4.5.2)', async () => {
  using client = await open();
  await client.begin('alice@home.test');
  await client.say('DATA');
  for (const piece of ['.', '.\r\n', smuggled, '.\r\n']) {
    client.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(await client.reply()).toMatch(/^250 /);
  expect(await client.say('NOOP')).toMatch(/^250/);
  expect(await bench.inbox(bench.bob)).toHaveLength(0);
});
