/** Messages that are the same in every run, on every server: made from a seed, each with bytes of its own. */

const vocabularySize = 20_000;
const bodiesKept = 32;
/** Every so many messages one has the words that SEARCH rows look for. */
export const needleEvery = 500;
export const needle = {
  subject: 'zebrafish',
  from: 'needlewoman',
  header: 'needle-of-header',
  body: 'quincunxes',
} as const;

/** A small, fast generator (mulberry32); quality enough for words. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const vocabulary: readonly string[] = (() => {
  const random = seeded(1);
  const letters = 'etaoinshrdlucmfwypvbgk';
  return Array.from({ length: vocabularySize }, () =>
    Array.from(
      { length: 3 + Math.floor(random() * 7) },
      () => letters[Math.floor(random() ** 1.5 * letters.length)],
    ).join(''),
  );
})();

/** Gives message number `n` (from 0) of about `bytes` bytes; above 16 KiB a multipart with a base64 part. */
export function messageMaker(bytes: number): (n: number) => Buffer {
  const random = seeded(bytes);
  const isMultipart = bytes > 16 * 1024;
  const bodies = Array.from({ length: bytes > 1024 * 1024 ? 1 : bodiesKept }, () =>
    Buffer.from(isMultipart ? multipart(random, bytes - 700) : text(random, Math.max(80, bytes - 550)), 'latin1'),
  );
  const type = isMultipart ? 'multipart/mixed; boundary="=_bench_part"' : 'text/plain; charset=utf-8';
  return (n) => Buffer.concat([header(n, type), bodies[n % bodies.length] as Buffer]);
}

/** Lines of a number: each message has its own words, address, identifier and bytes. */
function header(n: number, type: string): Buffer {
  const random = seeded(n + 7);
  const words = (count: number): string => Array.from({ length: count }, () => word(random)).join(' ');
  const isNeedle = n % needleEvery === 0;
  const first = isNeedle ? needle.from : word(random);
  const at = new Date(Date.UTC(2026, 0, 1) + n * 61_000).toUTCString().replace('GMT', '+0000');
  return Buffer.from(
    `From: "${first} ${word(random)}" <${first}.${n % 997}@outside.test>\r\n` +
      `To: "${words(2)}" <reader@bench.test>, ${word(random)}@other.test\r\n` +
      `Subject: ${words(4)}${isNeedle ? ` ${needle.subject}` : ''} ${n}\r\n` +
      `Date: ${at}\r\nMessage-ID: <${n}.${word(random)}@outside.test>\r\n` +
      `In-Reply-To: <${n - 1}.${word(random)}@outside.test>\r\nX-Mailer: ${isNeedle ? needle.header : 'bench'} 1.0\r\n` +
      `MIME-Version: 1.0\r\nContent-Type: ${type}\r\n\r\n` +
      (type.startsWith('text') ? `${isNeedle ? needle.body : word(random)} ${n}\r\n` : ''),
    'latin1',
  );
}

function word(random: () => number): string {
  return vocabulary[Math.floor(random() ** 2 * vocabulary.length)] as string;
}

function text(random: () => number, bytes: number): string {
  let all = '';
  while (all.length < bytes) {
    let line = word(random);
    while (line.length < 66) line += ` ${word(random)}`;
    all += `${line}\r\n`;
  }
  return all;
}

function multipart(random: () => number, bytes: number): string {
  const words = text(random, bytes / 10);
  const raw = Buffer.from(Array.from({ length: 3000 }, () => Math.floor(random() * 256)));
  const lines = (raw.toString('base64').match(/.{76}/g) ?? []).join('\r\n');
  const repeats = Math.max(1, Math.floor((bytes - words.length - 300) / (lines.length + 2)));
  return (
    `--=_bench_part\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n${words}` +
    '--=_bench_part\r\nContent-Type: application/octet-stream; name="data.bin"\r\n' +
    'Content-Disposition: attachment; filename="data.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\n' +
    `${`${lines}\r\n`.repeat(repeats)}--=_bench_part--\r\n`
  );
}
