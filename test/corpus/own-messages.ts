/** Shapes that the outside messages lack, most of them broken in one way each. */
import type { CorpusMessage } from './corpus-message.ts';

const multipart = (boundary: string, body: string, subtype = 'mixed'): string =>
  `Subject: shape\nMIME-Version: 1.0\nContent-Type: multipart/${subtype}; boundary="${boundary}"\n\n${body}`;

const shapes: Readonly<Record<string, string>> = {
  'empty-body': 'Subject: nothing\nFrom: a@example.org\n\n',
  'no-empty-line': 'Subject: nothing\nFrom: a@example.org\n',
  'no-last-line-break': 'Subject: nothing',
  'no-header': '\nOnly a body.\n',
  'one-line-break': '\n',
  'mbox-line': 'From a@example.org Mon Jan  1 10:00:00 2001\nSubject: one\nTo: a@example.org\n\nbody\n',
  'line-without-colon': 'Subject: one\nthis is no field\nTo: a@example.org\n\nbody\n',
  'blank-before-colon': 'Subject : x\nTo\t: a@example.org\n\nbody\n',
  'folded-with-tabs': 'Subject: a\n\tb\n\tc\nReferences: <1@x>\n\t<2@x>\nIn-Reply-To:\n <2@x>\n\nbody\n',
  'repeated-fields': 'To: a@x\nTo: b@x, c@x\nSubject: one\nSubject: two\nDate: first\nDate: second\n\nbody\n',
  'empty-fields': 'From:\nTo: \nSubject:\nDate:\nMessage-ID:\n\nbody\n',
  'raw-8-bit': 'Subject: caf\xe9\nFrom: J\xf6rg <j@example.org>\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\nna\xefve\n',
  'raw-utf-8': 'Subject: \xc3\xa0\xc2\xa0 la carte\nFrom: \xe2\x82\xac <e@example.org>\nContent-Disposition: attachment; filename="\xc3\xa9.txt"\n\n\xe2\x82\xac\n',
  'groups': 'From: a@x\nTo: undisclosed-recipients:;, friends: Ann <a@x>, b@y;, "Last, First" <c@z>\nCc: :;\n\nbody\n',
  'routes-and-comments': 'From: (first) Ann (second) <@r1,@r2:ann@x (third)>\nTo: bob@[192.0.2.1] (Bob), "a b"@x, c . d @ e . f\n\nbody\n',
  'bare-words': 'From: root\nTo: Foo Bar, <user>, <>\nReply-To: <>\n\nbody\n',
  'broken-addresses': 'From: <a b@c>\nTo: foo <bar, "open <x@y>\nCc: a@b c@d, @, <<x@y>>, x@@y\n\nbody\n',
  'semicolons': 'To: a@b;c@d; e@f\nCc: a@b,,c@d, ,e@f\n\nbody\n',
  'parameters': `Content-Type: TEXT/Plain; CHARSET=UTF-8; Format="flowed"; a=; b=""; c="q\\"r"; d=x y; e; f=(c)g\nContent-Transfer-Encoding: BASE64 (c)\nContent-ID: <a@b>\nContent-Description: foo\n bar\nContent-MD5: abc\nContent-Disposition: ATTACHMENT; FileName="x y"\nContent-Language: en, de\nContent-Location: http://example.org/\n\nYg==\n`,
  'parameter-pieces': `Content-Type: application/x; name*1="b.c"; name*0*=utf-8''a%20; title*=utf-8'en'%E2%82%AC; url*0=http://; url*1=x\n\nbody\n`,
  'type-without-subtype': 'Content-Type: text\n\nbody\n',
  'type-with-blank': 'Content-Type: foo bar/baz\n\nbody\n',
  'empty-type': 'Content-Type:\n\nbody\n',
  'two-types': 'Content-Type: text/html\nContent-Type: image/png\nContent-ID: <1>\nContent-ID: <2>\nContent-Disposition: inline\nContent-Disposition: attachment\n\nbody\n',
  'quoted-printable': 'Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\ncaf=C3=A9 and a long line that is =\nfolded\n',
  'base64': 'Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\nAAECAwQFBgcICQ==\n',
  'no-boundary': 'Content-Type: multipart/mixed\n\n--x\n\na\n--x--\n',
  'boundary-never-comes': multipart('x', 'text only\n'),
  'multipart-without-body': 'Content-Type: multipart/mixed; boundary=x',
  'preamble-and-epilogue': multipart('x', 'pre\n--x\n\na\n--x\nContent-Type: text/html\n\nb\n\n--x--\nepi\n'),
  'missing-close': multipart('x', '--x\n\na\n--x\nContent-Type: text/html\n\nb\n'),
  'ends-in-boundary': multipart('x', '--x\n\na\n--x'),
  'ends-after-boundary': multipart('x', '--x\n\na\n--x\n'),
  'text-after-boundary': multipart('x', '--xyz\n\na\n--x--foo\nbar\n--x\n\nb\n--x--\n'),
  'after-close': multipart('x', '--x\n\na\n--x--\n--x\n\nb\n--x--\n'),
  'boundary-is-prefix': multipart('x', `--x\n${multipart('xy', '--xy\n\na\n--xy\n\nb\n--xy--\n')}--x\n\nc\n--x--\n`),
  'prefix-is-inside': multipart('xy', `--xy\n${multipart('x', '--x\n\na\n--x\n\nb\n--x--\n')}--xy\n\nc\n--xy--\n`),
  'same-boundary-inside': multipart('x', `--x\n${multipart('x', '--x\n\na\n--x\n\nb\n--x--\n')}--x\n\nc\n--x--\n`),
  'outer-cuts-inner': multipart('x', `--x\n${multipart('in', '--in\n\na\n')}--x\n\nc\n--x--\n`),
  'boundary-in-header': multipart('x', '--x\nContent-Type: text/html\n--x\nContent-Type: image/png\n\nb\n--x--\n'),
  'empty-parts': multipart('x', '--x\n--x\n\n--x\n\n\n--x--\n'),
  'blank-after-boundary': multipart('x', '--x  \n\na\n--x \t\n\nb\n--x-- \n'),
  'boundary-ends-with-blank': multipart('x y ', '--x y\n\na\n--x y--\nz\n'),
  'unquoted-boundary': 'Content-Type: multipart/mixed; boundary=----=_Part/1:2?\n\n------=_Part/1:2?\n\na\n------=_Part/1:2?--\n',
  'digest': multipart('x', '--x\n\nSubject: foo\n\nbar\n--x\nContent-Type: text/plain\n\nb\n--x\nContent-Type: message/rfc822\n\nSubject: foo\n\n--x--\n', 'digest'),
  'embedded-empty': multipart('x', '--x\nContent-Type: message/rfc822\n\n--x\nContent-Type: message/rfc822\n--x--\n'),
  'embedded-in-base64': 'Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogZm9v\n',
  'embedded-chain': `Content-Type: message/rfc822\n\nSubject: 2\nContent-Type: message/rfc822\n\nSubject: 3\nContent-Type: message/rfc822\n\n${multipart('x', '--x\n\na\n--x--\n')}`,
  'embedded-parts': multipart('o', `--o\nContent-Type: message/rfc822\n\n${multipart('i', '--i\n\na\n--i\nContent-Type: message/rfc822\n\nSubject: leaf\n\ntext\n--i--\n')}\n--o--\n`),
  'message-global': 'Content-Type: message/global\n\nSubject: foo\n\nb\n',
  'multipart-fields': 'Content-Type: multipart/related; boundary=x; type="text/html"; start="<s>"\nContent-Disposition: inline; a=b\nContent-Language: en\nContent-Location: l\nContent-Transfer-Encoding: base64\n\n--x\n\na\n--x--\n',
  'dashes': `Subject: dashes\nContent-Type: multipart/mixed; boundary="--"\n\n----\n\n${'-'.repeat(3000)}\n${'--\n'.repeat(100)}\n------\n`,
  'long-lines': `Subject: ${'long '.repeat(4000)}\nContent-Type: text/plain\n\n${'x'.repeat(20_000)}\n`,
};

function nested(depth: number): string {
  const open = Array.from({ length: depth }, (_, n) => `Content-Type: multipart/mixed; boundary="b${n}x"\n\n--b${n}x\n`);
  const close = Array.from({ length: depth }, (_, n) => `\n--b${depth - 1 - n}x--\n`);
  return `Subject: nested\n${open.join('')}\ninnermost\n${close.join('')}`;
}

function embeddedChain(depth: number): string {
  return `${'Subject: chain\nContent-Type: message/rfc822\n\n'.repeat(depth)}Subject: end\n\nbody\n`;
}

function manyRecipients(count: number): string {
  const list = Array.from({ length: count }, (_, n) => `"Recipient ${n}" <user${n}@host${n % 100}.example.org>`);
  return `From: a@example.org\nSubject: many\nTo: ${list.join(',\n ')}\n\nbody\n`;
}

/** An attachment that decodes to so many bytes. */
function attachment(bytes: number): string {
  const lines: string[] = [];
  const line = Buffer.alloc(57);
  for (let at = 0; at < bytes; at += line.length) {
    line.fill(at % 251);
    lines.push(line.toString('base64'));
  }
  const part = `Content-Type: application/octet-stream; name="big.bin"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename="big.bin"\n\n${lines.join('\n')}\n`;
  return multipart('big', `--big\nContent-Type: text/plain\n\nSee the attachment.\n--big\n${part}--big--\n`);
}

export function ownMessages(): readonly CorpusMessage[] {
  const made: Readonly<Record<string, string>> = {
    ...shapes,
    'nested-30': nested(30),
    'nested-5000': nested(5000),
    'chain-30': embeddedChain(30),
    'chain-500': embeddedChain(500),
    'parts-1000': multipart('p', `${'--p\nContent-Type: text/plain\n\nx\n'.repeat(1000)}--p--\n`),
    'recipients-10000': manyRecipients(10_000),
    'attachment-30-mb': attachment(30 * 1024 * 1024),
  };
  return Object.entries(made).map(([name, text]) => ({
    name: `own/${name}`,
    bytes: Buffer.from(text.replaceAll('\n', '\r\n'), 'latin1'),
  }));
}
