import fc from 'fast-check';
import { parser as imapflowParser } from 'imapflow/lib/handler/imap-handler.js';
import { describe, expect, test } from 'vitest';
import { uidSet, uidSetOf } from '#server/mail/uid-set.ts';
import { Scanner } from '#shared/text/scanner.ts';
import { astring, formatAstring, formatNstring, formatString, nstring, string } from './astring.ts';
import { formatFetchItemName } from './fetch-att.ts';
import {
  capabilityResponse,
  conditionResponse,
  continueResponse,
  enabledResponse,
  fetchBegin,
  fetchEnd,
  flagsResponse,
  formatFetchFlags,
  idResponse,
  listResponse,
  listRootResponse,
  literalBegin,
  namespaceResponse,
  numberResponse,
  searchResponse,
  statusResponse,
} from './response.ts';

describe('conditions and their codes (RFC 3501 section 7.1)', () => {
  test.each([
    [conditionResponse('a1', 'OK', 'NOOP completed'), 'a1 OK NOOP completed\r\n'],
    [conditionResponse(null, 'BYE', 'Logging out'), '* BYE Logging out\r\n'],
    [conditionResponse('a', 'NO', 'Try CREATE', 'TRYCREATE'), 'a NO [TRYCREATE] Try CREATE\r\n'],
    [conditionResponse(null, 'OK', 'UIDs', { code: 'UIDVALIDITY', number: 5 }), '* OK [UIDVALIDITY 5] UIDs\r\n'],
    [
      conditionResponse(null, 'OK', 'Flags', {
        code: 'PERMANENTFLAGS',
        list: { flags: 24, keywords: ['$Junk'] },
        more: true,
      }),
      '* OK [PERMANENTFLAGS (\\Deleted \\Draft $Junk \\*)] Flags\r\n',
    ],
    [
      conditionResponse('a', 'OK', 'Done', { code: 'APPENDUID', uidValidity: 38505, uids: uidSetOf([3955]) }),
      'a OK [APPENDUID 38505 3955] Done\r\n',
    ],
    [
      conditionResponse('a', 'OK', 'Done', {
        code: 'COPYUID',
        uidValidity: 38505,
        source: uidSetOf([304, 319, 320]),
        destination: uidSet([[3956, 3958]]),
      }),
      'a OK [COPYUID 38505 304,319:320 3956:3958] Done\r\n',
    ],
    [conditionResponse('a', 'NO', 'No', { code: 'BADCHARSET' }), 'a NO [BADCHARSET (US-ASCII UTF-8)] No\r\n'],
    [
      conditionResponse(null, 'OK', 'Ready', { code: 'CAPABILITY', capabilities: ['IMAP4rev1', 'IDLE'] }),
      '* OK [CAPABILITY IMAP4rev1 IDLE] Ready\r\n',
    ],
  ])('%#', (response, wanted) => {
    expect(response).toBe(wanted);
  });

  test('no text breaks out of its line or into the code', () => {
    expect(conditionResponse('a', 'NO', 'x\r\n* OK é')).toBe('a NO x??* OK ?\r\n');
    expect(conditionResponse('a', 'OK', '[ALERT] x')).toBe('a OK . [ALERT] x\r\n');
    expect(conditionResponse('a', 'OK', '')).toBe('a OK .\r\n');
  });
});

test.each([
  [capabilityResponse(['IMAP4rev1', 'IDLE']), '* CAPABILITY IMAP4rev1 IDLE\r\n'],
  [enabledResponse([]), '* ENABLED\r\n'],
  [continueResponse(''), '+ \r\n'],
  [idResponse(null), '* ID NIL\r\n'],
  [
    idResponse(
      new Map([
        ['name', 'x"'],
        ['os', null],
      ]),
    ),
    '* ID ("name" "x\\"" "os" NIL)\r\n',
  ],
  [namespaceResponse(), '* NAMESPACE (("" "/")) NIL NIL\r\n'],
  [listResponse('LIST', ['\\HasNoChildren', '\\Sent'], 'Sent'), '* LIST (\\HasNoChildren \\Sent) "/" Sent\r\n'],
  [listResponse('LSUB', [], 'Entwürfe'), '* LSUB () "/" Entw&APw-rfe\r\n'],
  [listRootResponse('LIST'), '* LIST (\\Noselect) "/" ""\r\n'],
  [
    statusResponse('a b', [
      ['MESSAGES', 231],
      ['UIDNEXT', 44292],
    ]),
    '* STATUS "a b" (MESSAGES 231 UIDNEXT 44292)\r\n',
  ],
  [flagsResponse({ flags: 31, keywords: ['x'] }), '* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft x)\r\n'],
  [searchResponse([2, 3, 6]), '* SEARCH 2 3 6\r\n'],
  [searchResponse([]), '* SEARCH\r\n'],
  [numberResponse(23, 'EXISTS'), '* 23 EXISTS\r\n'],
  [fetchBegin(12) + formatFetchFlags(1, ['x'], true) + fetchEnd, '* 12 FETCH (FLAGS (\\Seen x \\Recent))\r\n'],
])('%#: %j', (response, wanted) => {
  expect(response).toBe(wanted);
});

test('a FETCH item is named as it was asked for, without PEEK and the count', () => {
  const fields = ['DATE', 'a b', ']', '\xe9'];
  const section = { path: [4, 1], text: { kind: 'HEADER.FIELDS', fields } } as const;
  expect(formatFetchItemName({ kind: 'BODY[]', section, peek: true, partial: { offset: 0, count: 9 } })).toBe(
    'BODY[4.1.HEADER.FIELDS (DATE "a b" "]" {1}\r\n\xe9)]<0>',
  );
  expect(formatFetchItemName({ kind: 'RFC822.HEADER' })).toBe('RFC822.HEADER');
});

test('imapflow reads a FETCH with a literal between its items', async () => {
  const name = formatFetchItemName({
    kind: 'BODY[]',
    section: { path: [], text: { kind: 'TEXT' } },
    peek: false,
    partial: null,
  });
  const text =
    `${fetchBegin(1)}UID 7 ${name} ${literalBegin(3)} ${formatFetchFlags(2, [], false)}${fetchEnd}`.trimEnd();
  const { attributes } = await imapflowParser(Buffer.from(text, 'latin1'), { literals: [Buffer.from('abc')] });
  const leaf = (value: string) => expect.objectContaining({ value });
  const items = [leaf('UID'), leaf('7'), leaf('BODY'), leaf('abc'), leaf('FLAGS'), [leaf('\\Answered')]];
  expect(JSON.parse(JSON.stringify(attributes, (_, value: unknown) => plain(value)))).toEqual([leaf('FETCH'), items]);
});

/** Buffers in their JSON form as text. */
function plain(value: unknown): unknown {
  const isBuffer = typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer';
  return isBuffer && 'data' in value ? Buffer.from(value.data as number[]).toString('latin1') : value;
}

test('any bytes without NUL, formatted as a string and read, are the same', () => {
  const unit = fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code));
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit }), fc.string({ unit: 'grapheme-ascii' })), (value) => {
      expect(string(new Scanner(formatString(value)))).toBe(value);
      expect(astring(new Scanner(formatAstring(value)))).toBe(value);
      expect(nstring(new Scanner(formatNstring(value)))).toBe(value);
    }),
  );
  expect(nstring(new Scanner(formatNstring(null)))).toBeNull();
  expect(formatString('x'.repeat(1001))).toMatch(/^\{1001\}\r\nx/);
});
