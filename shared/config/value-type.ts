/** How the text of a setting becomes a value, and what to write where it doesn't. */
import { domainToASCII } from 'node:url';
import { availableParallelism } from 'node:os';
import { isIP } from 'node:net';
import { Secret } from './secret.ts';

/** `write` completes the sentence "write …". */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly write: string };

export type ValueType<T> = {
  /** For the reference page. */
  readonly name: string;
  parse(text: string): Parsed<T>;
  /** The value as it would be written, secrets masked. */
  print(value: T): string;
};

function good<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

function write(what: string): { readonly ok: false; readonly write: string } {
  return { ok: false, write: what };
}

export const switchType: ValueType<boolean> = {
  name: 'true or false',
  parse(text) {
    const word = text.toLowerCase();
    if (['true', 'yes', 'on', '1'].includes(word)) return good(true);
    if (['false', 'no', 'off', '0'].includes(word)) return good(false);
    return write('true or false');
  },
  print: String,
};

/** null: the listener is not opened. */
export const portType: ValueType<number | null> = {
  name: 'port',
  parse(text) {
    if (text.toLowerCase() === 'off') return good(null);
    const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
    return port <= 65_535 ? good(port) : write('a port from 1 to 65535, 0 for any free one, or off');
  },
  print: (port) => (port === null ? 'off' : String(port)),
};

export function integerType(min: number, max: number): ValueType<number> {
  return {
    name: 'number',
    parse(text) {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? good(value) : write(`a whole number from ${min} to ${max}`);
    },
    print: String,
  };
}

const maxProcesses = 64;

/** A number of processes; `auto` is one a processor that this program may use. */
export const processesType: ValueType<number> = {
  name: 'number or auto',
  parse(text) {
    if (text.toLowerCase() === 'auto') return good(Math.min(maxProcesses, availableParallelism()));
    const given = integerType(1, maxProcesses).parse(text);
    return given.ok ? given : write(`a whole number from 1 to ${maxProcesses}, or auto`);
  },
  print: String,
};

const sizeUnits: Readonly<Record<string, number>> = {
  '': 1,
  k: 1000,
  m: 1000 ** 2,
  g: 1000 ** 3,
  ki: 1024,
  mi: 1024 ** 2,
  gi: 1024 ** 3,
};

/** Bytes, as Kubernetes writes quantities: 50Mi is 50 * 1024 * 1024. */
export function sizeType(minBytes: number, maxBytes: number): ValueType<number> {
  return {
    name: 'size',
    parse(text) {
      const match = /^(\d{1,15})\s*([kmg]i?)?b?$/i.exec(text);
      const bytes = match ? Number(match[1]) * (sizeUnits[(match[2] ?? '').toLowerCase()] ?? Number.NaN) : Number.NaN;
      if (bytes >= minBytes && bytes <= maxBytes) return good(bytes);
      return write(`a size from ${printSize(minBytes)} to ${printSize(maxBytes)}, such as 25Mi`);
    },
    print: printSize,
  };
}

function printSize(bytes: number): string {
  for (const unit of ['Gi', 'Mi', 'Ki']) {
    const factor = sizeUnits[unit.toLowerCase()] ?? 1;
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return String(bytes);
}

const timeUnits: Readonly<Record<string, number>> = { ms: 0.001, '': 1, s: 1, m: 60, h: 3600 };

/** Seconds, maybe broken ones. */
export function durationType(minSeconds: number, maxSeconds: number): ValueType<number> {
  return {
    name: 'duration',
    parse(text) {
      const match = /^(\d{1,9}(?:\.\d{1,3})?)\s*(ms|s|m|h)?$/i.exec(text);
      const seconds = match ? Number(match[1]) * (timeUnits[(match[2] ?? '').toLowerCase()] ?? Number.NaN) : Number.NaN;
      if (seconds >= minSeconds && seconds <= maxSeconds) return good(seconds);
      return write(`a time from ${minSeconds}s to ${maxSeconds}s, such as 10s or 500ms`);
    },
    print: (seconds) => `${seconds}s`,
  };
}

/** One of a few words, in any case. */
export function choiceType<const Word extends string>(words: readonly Word[]): ValueType<Word> {
  return {
    name: words.join(', '),
    parse(text) {
      const word = words.find((known) => known === text.toLowerCase());
      return word === undefined ? write(`one of ${words.join(', ')}`) : good(word);
    },
    print: (word) => word,
  };
}

/** Some of a few words, separated by commas, or `all`. */
export function choicesType<const Word extends string>(words: readonly Word[]): ValueType<readonly Word[]> {
  return {
    name: `list of ${words.join(', ')}`,
    parse(text) {
      const given = text
        .toLowerCase()
        .split(/[\s,]+/)
        .filter((word) => word !== '');
      if (given.length === 1 && given[0] === 'all') return good(words);
      const chosen = words.filter((word) => given.includes(word));
      const isEachKnown = given.every((word) => (words as readonly string[]).includes(word));
      if (isEachKnown && chosen.length > 0) return good(chosen);
      return write(`all, or some of ${words.join(', ')} with commas between them`);
    },
    print: (chosen) => (chosen.length === words.length ? 'all' : chosen.join(',')),
  };
}

export const pathType: ValueType<string> = {
  name: 'path',
  parse: (text) => (text.includes('\0') ? write('a path of this machine') : good(text)),
  print: (value) => value,
};

/** An address to listen on, or the name of one. */
export const hostType: ValueType<string> = {
  name: 'address',
  parse(text) {
    const isName = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/i.test(text) && !/^[\d.]+$/.test(text);
    if (isIP(text) !== 0 || isName) return good(text);
    return write('an address of this machine, 0.0.0.0 for all of IPv4, or :: for all');
  },
  print: (host) => host,
};

/** A domain name as other mail servers see it (RFC 5321 section 2.3.5). */
export const domainType: ValueType<string> = {
  name: 'domain name',
  parse(text) {
    const ascii = domainToASCII(text.replace(/\.$/, ''));
    const isDomain =
      ascii.length <= 253 &&
      /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*$/i.test(ascii);
    return isDomain ? good(ascii) : write('a domain name such as mail.example.org');
  },
  print: (domain) => domain,
};

/** A mail address, unquoted; whether it leads anywhere is the directory's matter. */
export const addressType: ValueType<string> = {
  name: 'mail address',
  parse: (text) =>
    text.length <= 254 && /^[^\s@<>"\x00-\x1f\x7f]+@[^\s@<>"\x00-\x1f\x7f]+$/.test(text)
      ? good(text)
      : write('a mail address such as postmaster@example.org'),
  print: (address) => address,
};

/** Null: `off`, no limit. */
export const limitType: ValueType<number | null> = {
  name: 'number or `off`',
  parse(text) {
    if (text === 'off') return good(null);
    return /^\d{1,9}$/.test(text) ? good(Number(text)) : write('a whole number, or off');
  },
  print: (limit) => (limit === null ? 'off' : String(limit)),
};

/** One line of text. */
export const textType: ValueType<string> = {
  name: 'text',
  parse: (text) => (/^[^\x00-\x1f\x7f]{1,1000}$/.test(text) ? good(text) : write('one line of text')),
  print: (text) => text,
};

/** Words without blanks, with commas between them; may be none. */
export const wordsType: ValueType<readonly string[]> = {
  name: 'list',
  parse(text) {
    const words = text.split(',').map((word) => word.trim());
    return words.every((word) => /^[^\s\x00-\x1f\x7f]{0,255}$/.test(word))
      ? good(words.filter((word) => word !== ''))
      : write('words with commas between them');
  },
  print: (words) => words.join(','),
};

/** Networks in CIDR notation, with commas between them; may be none. */
export const networksType: ValueType<readonly string[]> = {
  name: 'networks',
  parse(text) {
    const words = text.split(',').map((word) => word.trim());
    const given = words.filter((word) => word !== '');
    return given.every(isNetwork) ? good(given) : write('networks such as 10.0.0.0/8, with commas between them');
  },
  print: (networks) => networks.join(','),
};

function isNetwork(text: string): boolean {
  const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const family = isIP(address);
  return family !== 0 && Number(bits) <= (family === 6 ? 128 : 32);
}

/** https, or http to this machine. */
export const webUrlType: ValueType<string> = {
  name: 'URL',
  parse(text) {
    const url = URL.canParse(text) ? new URL(text) : null;
    const isLocal = url !== null && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
    const isGood = url !== null && (url.protocol === 'https:' || (url.protocol === 'http:' && isLocal));
    return isGood ? good(text) : write('a URL with https such as https://login.example.org');
  },
  print: (url) => url,
};

export const databaseUrlType: ValueType<Secret> = {
  name: 'URL',
  parse(text) {
    if (/^postgres(ql)?:\/\//.test(text)) {
      // A URL without a host names a Unix socket in its parameter `host`, which URL can't parse without a host.
      const parsable =
        URL.canParse(text.replace(/^(postgres(?:ql)?:\/\/[^/]*@?)\//, '$1localhost/')) || URL.canParse(text);
      if (parsable) return good(new Secret(text));
    }
    return write('postgres://user:password@host:5432/database');
  },
  print: (url) =>
    url
      .reveal()
      .replace(/(:\/\/[^:/@]*):[^@]*@/, '$1:***@')
      .replace(/([?&]password=)[^&]*/, '$1***'),
};

/** Empty means not set. */
export function optionalType<T>(type: ValueType<T>): ValueType<T | null> {
  return {
    name: type.name,
    parse: (text) => (text === '' ? good(null) : type.parse(text)),
    print: (value) => (value === null ? '' : type.print(value)),
  };
}
