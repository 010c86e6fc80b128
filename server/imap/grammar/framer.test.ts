import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { maxImapLineBytes, maxImapLiteralBytes } from '#shared/base/limits.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import type { Frame } from './frame.ts';
import { ImapFramer } from './framer.ts';

/** What became of the bytes, with an APPEND's message after its frame. */
type Event = Frame | { readonly message: string };

/** As a session would: takes messages, asks for a line after IDLE and AUTHENTICATE; `refuse` skips literals. */
class Reader {
  readonly framer = new ImapFramer();
  readonly events: Event[] = [];
  readonly #refuse: (frame: Frame) => boolean;
  #message: string[] | null = null;

  constructor(refuse: (frame: Frame) => boolean = () => false) {
    this.#refuse = refuse;
  }

  read(bytes: Buffer): void {
    this.framer.push(bytes);
    for (;;) {
      if (this.#message) this.#takeMessage(this.#message);
      const frame = this.framer.next();
      if (!frame) return;
      this.events.push(frame);
      if ((frame.kind === 'append' || frame.kind === 'continue') && this.#refuse(frame)) this.framer.skipLiteral();
      else if (frame.kind === 'append') this.#message = [];
      else if (frame.kind === 'command' && (frame.command.verb === 'IDLE' || frame.command.verb === 'AUTHENTICATE')) {
        this.framer.expectLine();
      }
    }
  }

  #takeMessage(message: string[]): void {
    for (;;) {
      const chunk = this.framer.takeLiteral(3);
      if (!chunk) break;
      message.push(chunk.toString('latin1'));
    }
    if (this.framer.literalLeft > 0) return;
    this.events.push({ message: message.join('') });
    this.#message = null;
  }
}

function eventsOf(text: string, refuse?: (frame: Frame) => boolean): readonly Event[] {
  const reader = new Reader(refuse);
  reader.read(Buffer.from(text, 'latin1'));
  return reader.events;
}

/** Short forms for tables. */
function brief(event: Event): string {
  if ('message' in event) return `message ${event.message}`;
  switch (event.kind) {
    case 'command':
      return `${event.tag} ${event.command.verb}`;
    case 'append':
      return `${event.tag} APPEND ${event.literalBytes}${event.synchronizing ? '' : '+'}`;
    case 'append-end':
      return `${event.tag} end`;
    case 'continue':
      return `${event.tag} continue ${event.verb}`;
    case 'line':
      return `line ${event.line.toString('latin1')}`;
    case 'bad-charset':
      return `${event.tag} NO`;
    case 'fault':
      return `${event.tag ?? '*'} BAD${event.close ? ' close' : ''}`;
    default:
      return unreachable(event);
  }
}

const briefs = (text: string, refuse?: (frame: Frame) => boolean) => eventsOf(text, refuse).map(brief);

describe('frames', () => {
  test.each<[string, string, string[]]>([
    ['commands sent together', 'a NOOP\r\nb CHECK\r\nc CLO', ['a NOOP', 'b CHECK']],
    ['LF alone as a line end', 'a NOOP\nb LOGIN {1+}\nx y\n', ['a NOOP', 'b LOGIN']],
    ['CR alone is no line end', 'a NOOP\rb NOOP\r\n', ['a BAD']],
    ['an empty line', '\r\na NOOP\r\n', ['* BAD', 'a NOOP']],
    ['a line without a tag', '+ x\r\na NOOP\r\n', ['* BAD', 'a NOOP']],
    ['synchronizing literals', 'a LOGIN {1}\r\nx {2}\r\nyz\r\n', ['a continue LOGIN', 'a continue LOGIN', 'a LOGIN']],
    ['a literal that looks like an announcement', 'a LOGIN {4+}\r\n{1}\n {2+}\r\n\r\n\r\n', ['a LOGIN']],
    ['a line after a literal ending in "{"', 'a LOGIN x {2+}\r\n{1}\r\nb NOOP\r\n', ['a BAD', 'b NOOP']],
    ['an empty literal', 'a LOGIN x {0}\r\n\r\n', ['a continue LOGIN', 'a LOGIN']],
    ['an empty literal that waits', 'a LOGIN {0}\r\n {0}\r\n\r\n', ['a continue LOGIN', 'a continue LOGIN', 'a LOGIN']],
    ['nonsense before an empty literal', 'a FROB {0}\r\n\r\nb NOOP\r\n', ['a continue FROB', 'a BAD', 'b NOOP']],
    ['an empty literal behind no tag', '+ {0}\r\na NOOP\r\n', ['* BAD', 'a NOOP']],
    ['a literal with leading zeros', 'a LOGIN x {0002+}\r\nab\r\n', ['a LOGIN']],
    ['IDLE and its DONE', 'a IDLE\r\nDONE\r\nb NOOP\r\n', ['a IDLE', 'line DONE', 'b NOOP']],
    [
      'a raw line that looks like an announcement',
      'a AUTHENTICATE X\r\n{3+}\r\nb NOOP\r\n',
      ['a AUTHENTICATE', 'line {3+}', 'b NOOP'],
    ],
    ['a charset nobody knows', 'a SEARCH CHARSET x TEXT {1+}\r\ny\r\nb NOOP\r\n', ['a NO', 'b NOOP']],
    ['an APPEND', 'a APPEND x {5}\r\nab\r\nc\r\nb NOOP\r\n', ['a APPEND 5', 'message ab\r\nc', 'a end', 'b NOOP']],
    ['an APPEND to a mailbox in a literal', 'a APPEND {1+}\r\nx {1+}\r\ny\r\n', ['a APPEND 1+', 'message y', 'a end']],
    ['an empty message', 'a APPEND x {0}\r\n\r\n', ['a APPEND 0', 'message ', 'a end']],
    [
      'two messages',
      'a APPEND x {1}\r\ny {2+}\r\nz1 {1}\r\nb NOOP\r\n',
      ['a APPEND 1', 'message y', 'a BAD', 'b NOOP'],
    ],
    [
      'two messages, the second announced',
      'a APPEND x {1}\r\ny {2}\r\nb NOOP\r\n',
      ['a APPEND 1', 'message y', 'a BAD', 'b NOOP'],
    ],
  ])('%s', (_, text, wanted) => {
    expect(briefs(text)).toEqual(wanted);
  });

  test('the whole of an APPEND frame', () => {
    expect(eventsOf('a append inbox (\\Seen x) {3+}\r\n')).toEqual([
      {
        kind: 'append',
        tag: 'a',
        command: { verb: 'APPEND', mailbox: 'INBOX', flags: { flags: 1, keywords: ['x'] }, internalDate: null },
        literalBytes: 3,
        synchronizing: false,
      },
    ]);
  });

  test('a fault says what was expected, and of which command', () => {
    expect(eventsOf('a uid fetch 1 FOO\r\n')).toEqual([
      { kind: 'fault', tag: 'a', text: 'UID FETCH: expected a fetch-att of RFC 3501 before this at 17', close: false },
    ]);
  });
});

describe('after a fault the next command is found', () => {
  test.each<[string, string, string[]]>([
    [
      'a literal that comes at once is dropped',
      'a FROB {8+}\r\nx NOOP\r\n {2+}\r\nyz\r\nb NOOP\r\n',
      ['a BAD', 'b NOOP'],
    ],
    ['one that waits for "+" does not come', 'a FROB {8}\r\nb NOOP\r\n', ['a BAD', 'b NOOP']],
    ['one that waits, behind one that does not', 'a FROB {2+}\r\nxy {8}\r\nb NOOP\r\n', ['a BAD', 'b NOOP']],
    ['a wrong APPEND does not ask for its message', 'a APPEND x (\\Foo) {8}\r\nb NOOP\r\n', ['a BAD', 'b NOOP']],
    [
      'the message of a wrong APPEND is dropped',
      `a APPEND x (\\Foo) {300000+}\r\n${'m'.repeat(300_000)}\r\nb NOOP\r\n`,
      ['a BAD', 'b NOOP'],
    ],
    [
      'a literal above the bound is not asked for',
      `a LOGIN x {${maxImapLiteralBytes + 1}}\r\nb NOOP\r\n`,
      ['a BAD', 'b NOOP'],
    ],
    [
      'so are literals above it together',
      `a LOGIN {${maxImapLiteralBytes}+}\r\n${'u'.repeat(maxImapLiteralBytes)} {1}\r\nb NOOP\r\n`,
      ['a BAD', 'b NOOP'],
    ],
    [
      'one above the bound that comes at once ends the connection',
      `a LOGIN x {${maxImapLiteralBytes + 1}+}\r\nb NOOP\r\n`,
      ['a BAD close'],
    ],
    [
      'so does a dropped one above the bound of a message',
      'a FROB {99999999999999999999+}\r\nb NOOP\r\n',
      ['a BAD close'],
    ],
    [
      'a line above the bound ends the connection',
      `a NOOP${' '.repeat(maxImapLineBytes)}\r\nb NOOP\r\n`,
      ['a BAD close'],
    ],
    [
      'so do many short lines of one command',
      `a SEARCH ${'TEXT {0+}\r\n '.repeat(maxImapLineBytes / 12 + 1)}`,
      ['a BAD close'],
    ],
    ['and many of a refused one', `a FROB ${'{1+}\r\nx'.repeat(maxImapLineBytes / 6 + 1)}`, ['a BAD', '* BAD close']],
  ])('%s', (_, text, wanted) => {
    expect(briefs(text)).toEqual(wanted);
  });

  test('a line of just the bound is taken', () => {
    const line = `a NOOP${' '.repeat(maxImapLineBytes - 8)}\r\n`;
    expect(line.length).toBe(maxImapLineBytes);
    expect(briefs(`${line}b NOOP\r\n`)).toEqual(['a NOOP', 'b NOOP']);
  });
});

describe('what the caller refuses', () => {
  const always = () => true;
  test.each<[string, string, string[]]>([
    ['a message that waits for "+"', 'a APPEND x {9999999}\r\nb NOOP\r\n', ['a APPEND 9999999', 'b NOOP']],
    ['a message that comes at once', 'a APPEND x {8+}\r\nx NOOP\r\n\r\nb NOOP\r\n', ['a APPEND 8+', 'b NOOP']],
    ['two of them', 'a APPEND x {1+}\r\ny {2+}\r\nzz\r\nb NOOP\r\n', ['a APPEND 1+', 'b NOOP']],
    ['a literal that waits for "+"', 'a LOGIN {3}\r\nb NOOP\r\n', ['a continue LOGIN', 'b NOOP']],
  ])('%s', (_, text, wanted) => {
    expect(briefs(text, always)).toEqual(wanted);
  });

  test('a message given up half-way is dropped to its end', () => {
    const framer = new ImapFramer();
    framer.push(Buffer.from('a APPEND x {9}\r\n'));
    expect(framer.next()?.kind).toBe('append');
    framer.push(Buffer.from('1234'));
    expect(framer.takeLiteral()?.toString()).toBe('1234');
    framer.skipLiteral();
    expect(framer.takeLiteral()).toBeNull();
    framer.push(Buffer.from('NOOP\r\r\nb NOOP\r\n'));
    expect(framer.next()).toEqual({ kind: 'command', tag: 'b', command: { verb: 'NOOP' } });
  });

  test('without an announced literal there is nothing to skip', () => {
    const framer = new ImapFramer();
    framer.push(Buffer.from('a NO'));
    expect(framer.next()).toBeNull();
    framer.skipLiteral();
    framer.push(Buffer.from('OP\r\n'));
    expect(framer.next()).toEqual({ kind: 'command', tag: 'a', command: { verb: 'NOOP' } });
  });
});

test('while a message is due there is no frame, and taking stays within the limits asked for', () => {
  const framer = new ImapFramer();
  framer.push(Buffer.from('a APPEND x {4+}\r\nabcd\r\nb NOOP\r\n'));
  expect(framer.next()?.kind).toBe('append');
  expect(framer.next()).toBeNull();
  expect(framer.literalLeft).toBe(4);
  expect(framer.takeLiteral(3)?.toString()).toBe('abc');
  expect(framer.next()).toBeNull();
  expect(framer.takeLiteral()?.toString()).toBe('d');
  expect(framer.takeLiteral()).toBeNull();
  expect(framer.next()).toEqual({ kind: 'append-end', tag: 'a' });
  expect(framer.next()).toEqual({ kind: 'command', tag: 'b', command: { verb: 'NOOP' } });
});

test('what was sent in clear behind STARTTLS is forgotten (RFC 3501 section 6.2.1)', () => {
  const framer = new ImapFramer();
  framer.push(Buffer.from('a STARTTLS\r\nb LOGIN x {1+}\r\ny\r\nc LOG'));
  expect(framer.next()?.kind).toBe('command');
  framer.discard();
  expect(framer.next()).toBeNull();
  framer.push(Buffer.from('d NOOP\r\n'));
  expect(framer.next()).toEqual({ kind: 'command', tag: 'd', command: { verb: 'NOOP' } });
});

test('a raw line may be asked for when a part of it has been looked at', () => {
  const framer = new ImapFramer();
  framer.push(Buffer.from('DO'));
  expect(framer.next()).toBeNull();
  framer.expectLine();
  framer.push(Buffer.from('NE\r\n'));
  expect(framer.next()).toEqual({ kind: 'line', line: Buffer.from('DONE') });
});

test('a closed framer gives nothing more', () => {
  const framer = new ImapFramer();
  framer.push(Buffer.alloc(maxImapLineBytes + 1, 'x'));
  expect(framer.next()).toEqual({ kind: 'fault', tag: null, text: expect.any(String), close: true });
  framer.push(Buffer.from('a NOOP\r\n'));
  framer.expectLine();
  framer.discard();
  framer.skipLiteral();
  expect(framer.next()).toBeNull();
  expect(framer.takeLiteral()).toBeNull();
});

const pieces = [
  'a1 NOOP\r\n',
  'a2 LOGIN {3}\r\na b {2+}\r\n{1 \r\n',
  'a3 APPEND x (\\Seen) {7}\r\n1\r\n{2}\r\r\n',
  'a4 APPEND x {4+}\r\nabcd {1+}\r\nx\r\n',
  'a5 IDLE\r\n',
  'DONE\r\n',
  'a6 FROB {3+}\r\nxyz {1}\r\n',
  'a7 SEARCH CHARSET nope TEXT "x"\r\n',
  'a8 LOGIN x {300000}\r\n',
  'a9 LOGIN x {300000+}\r\n',
  '\r\n',
  '\n',
  '{5+}',
  '{2}\r\n',
  ' ',
];
const stream = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...pieces) },
      { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii' }) },
    ),
    { maxLength: 12 },
  )
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 });

test('any chunks of the same bytes give the same frames', () => {
  fc.assert(
    fc.property(stream, cuts, fc.boolean(), (bytes, cuts, refuse) => {
      const whole = new Reader(() => refuse);
      whole.read(bytes);
      const chunked = new Reader(() => refuse);
      const ends = [...cuts.map((cut) => Math.floor(cut * bytes.length)).sort((a, b) => a - b), bytes.length];
      let start = 0;
      for (const end of ends) {
        chunked.read(bytes.subarray(start, end));
        start = end;
      }
      expect(chunked.events).toEqual(whole.events);
      const single = new Reader(() => refuse);
      for (const byte of bytes) single.read(Buffer.from([byte]));
      expect(single.events).toEqual(whole.events);
    }),
    { numRuns: 1000 },
  );
});

test('no bytes make the framer throw', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), fc.boolean(), (chunks, refuse) => {
      const reader = new Reader(() => refuse);
      for (const chunk of chunks) reader.read(Buffer.from(chunk));
      for (const event of reader.events)
        if ('kind' in event && event.kind === 'fault') expect(event.text).toMatch(/^[\x20-\x7e]+$/);
    }),
    { numRuns: 2000 },
  );
});

describe('time is linear', () => {
  /** Milliseconds for `bytes` in chunks of `chunkBytes`; the least of three runs. */
  function time(bytes: Buffer, chunkBytes: number): number {
    const runs = [1, 2, 3].map(() => {
      const reader = new Reader();
      const start = performance.now();
      for (let at = 0; at < bytes.length; at += chunkBytes) reader.read(bytes.subarray(at, at + chunkBytes));
      return performance.now() - start;
    });
    return Math.min(...runs);
  }

  // A quadratic reading of any of these would take seconds: 2^16 bytes, looked at 2^16 times, are 2^32.
  test.each<[string, string, number]>([
    ['a long line, a byte at a time', `a SEARCH TEXT "${'x'.repeat(65_000)}"\r\n`, 1],
    ['many literals that come at once', `a SEARCH ${'TEXT {0+}\r\n '.repeat(5000)}ALL\r\n`, 4096],
    ['many literals that wait', `a SEARCH ${'TEXT {0}\r\n '.repeat(5000)}ALL\r\n`, 4096],
    ['a long literal, a byte at a time', `a SEARCH TEXT {250000+}\r\n${'x'.repeat(250_000)}\r\n`, 1],
    ['digits, again and again', `a SEARCH ${'1'.repeat(65_000)}+}\r\n`, 1],
    ['many commands in one chunk', 'a NOOP\r\n'.repeat(20_000), 160_000],
    ['a quoted string without an end', `a LOGIN "${'\\"'.repeat(32_000)}\r\n`, 4096],
    ['nested shifts', `a SELECT "${'&-'.repeat(32_000)}&"\r\n`, 4096],
    ['base64 without an end', `a AUTHENTICATE PLAIN ${'A'.repeat(65_000)}!\r\n`, 4096],
    ['spaces', `a ENABLE${' x'.repeat(100)}${' '.repeat(65_000)}x\r\n`, 4096],
  ])('%s', (_, text, chunkBytes) => {
    expect(time(Buffer.from(text, 'latin1'), chunkBytes)).toBeLessThan(1000);
  });
});
