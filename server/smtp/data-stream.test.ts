import { once } from 'node:events';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DataStream } from './data-stream.ts';

/** What DATA gave and which commands came after it, for `bytes` cut into `sizes`. */
async function read(bytes: Buffer, sizes: readonly number[] = [bytes.length]) {
  const parser = new DataStream();
  const commands: string[] = [];
  const pieces: Buffer[] = [];
  let isWhole = false;
  parser.oncommand = (line, next) => {
    commands.push(line.toString('latin1'));
    if (line.toString() !== 'DATA') return next?.();
    const data = parser.startDataMode();
    data.on('data', (chunk: Buffer) => pieces.push(chunk));
    data.on('end', () => {
      isWhole = true;
      parser.continue();
    });
    next?.();
  };
  const all = Buffer.concat([Buffer.from('DATA\r\n'), bytes]);
  let at = 0;
  for (const size of [6, ...sizes]) {
    await writeTo(parser, all.subarray(at, at + size));
    at += size;
  }
  if (at < all.length) await writeTo(parser, all.subarray(at));
  // The end of the message is told in a later turn.
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  return { message: Buffer.concat(pieces).toString('latin1'), isWhole, commands: commands.slice(1), parser };
}

async function writeTo(parser: DataStream, bytes: Buffer): Promise<void> {
  if (bytes.length > 0 && !parser.write(bytes)) await once(parser, 'drain');
}

/** RFC 5321 section 4.5.2, for the sender. */
function stuffed(message: string): Buffer {
  return Buffer.from(`${message.replaceAll(/(^|\r\n)\./g, '$1..')}.\r\n`, 'latin1');
}

const pieces = fc.constantFrom('\r', '\n', '.', '\r\n', '\r\n.', '..', 'a', '\0', 'some words', '\xff');
const sizes = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 40 });

test('whatever is sent by the rules comes out byte for byte, however it is cut, and the next command is read', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 30 }), sizes, async (parts, cuts) => {
      const message = `${parts.join('')}\r\n`;
      const got = await read(Buffer.concat([stuffed(message), Buffer.from('NOOP\r\n')]), cuts);
      expect(got).toMatchObject({ message, isWhole: true, commands: ['NOOP'] });
    }),
    { numRuns: 300 },
  );
});

test('any bytes without CRLF "." CRLF never end a message, however they are cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 30 }), sizes, async (parts, cuts) => {
      const bytes = parts.join('').replaceAll('.\r\n', '. \r\n');
      const got = await read(Buffer.from(bytes, 'latin1'), cuts);
      expect(got.isWhole).toBe(false);
      expect(got.commands).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

test('an empty message', async () => {
  expect(await read(Buffer.from('.\r\n'))).toMatchObject({ message: '', isWhole: true });
});

test('the first dot of a line goes away, whatever follows it (RFC 5321 section 4.5.2)', async () => {
  expect(await read(Buffer.from('.a\r\n..\r\n...b\r\nc.\r\n.\r\n'))).toMatchObject({
    message: 'a\r\n.\r\n..b\r\nc.\r\n',
    isWhole: true,
  });
});

test('a stuffed dot at the very start that comes alone is not the end when CRLF follows', async () => {
  expect(await read(Buffer.from('..\r\nMAIL\r\n.\r\n'), [1, 1, 2])).toMatchObject({
    message: '.\r\nMAIL\r\n',
    isWhole: true,
    commands: [],
  });
});

test('a reader that gave up does not hold up the rest', async () => {
  const parser = new DataStream();
  const commands: string[] = [];
  parser.oncommand = (line, next) => {
    commands.push(line.toString());
    if (line.toString() === 'DATA') {
      parser.startDataMode().destroy();
      parser.continue();
    }
    next?.();
  };
  await writeTo(parser, Buffer.from('DATA\r\n'));
  await writeTo(parser, Buffer.alloc(300_000, 'x'));
  await writeTo(parser, Buffer.from('\r\n.\r\nRSET\r\n'));
  expect(commands).toEqual(['DATA', 'RSET']);
});

test('a slow reader holds the writer up', async () => {
  const parser = new DataStream();
  parser.oncommand = (_line, next) => {
    parser.startDataMode();
    next?.();
  };
  await writeTo(parser, Buffer.from('DATA\r\n'));
  let written = 0;
  while (written < 100 && parser.write(Buffer.alloc(16_384, 'x'))) written += 1;
  expect(written).toBeLessThan(20);
});

test('a command without its line end is not obeyed when the peer leaves', async () => {
  const parser = new DataStream();
  const commands: string[] = [];
  parser.oncommand = (line, next) => {
    commands.push(line.toString());
    next?.();
  };
  parser.end('NOOP\r\nRCPT TO:<a@b');
  await once(parser, 'finish');
  expect(commands).toEqual(['NOOP']);
});
