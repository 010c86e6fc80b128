/**
 * A transcript is a conversation that has to happen as written (test/transcripts/README.md says how to write one).
 */
import { fixtures } from './fixtures.ts';
import type { StoreUnderTest } from '../contracts/store-under-test.ts';
import { Client } from './client.ts';
import { ImapUnderTest } from './imap-under-test.ts';

type Line = {
  readonly number: number;
  readonly client: number;
  readonly does: 'C' | 'C~' | 'S' | '!';
  readonly text: string;
};

export type Transcript = {
  readonly title: string;
  readonly settings: ReadonlyMap<string, string>;
  readonly lines: readonly Line[];
};

const knownSettings = new Set(['mailbox', 'connections', 'state', 'tls', 'policy', 'quota']);

export function parseTranscript(text: string): Transcript {
  const settings = new Map<string, string>();
  const lines: Line[] = [];
  let title = '';
  for (const [index, line] of text.split('\n').entries()) {
    const exchange = /^(?:(\d) )?(C~|C|S|!): ?(.*)$/.exec(line);
    if (exchange) {
      const [, client, does = '', content = ''] = exchange;
      lines.push({ number: index + 1, client: Number(client ?? 1), does: does as Line['does'], text: content });
    } else if (line.startsWith('#')) {
      title ||= line.slice(1).trim();
    } else {
      for (const [, key = '', value = ''] of line.matchAll(/(\w+): (\S+)/g)) {
        if (!knownSettings.has(key)) throw new Error(`line ${index + 1}: no setting ${key}`);
        settings.set(key, value);
      }
      if (line.trim() !== '' && !/\w+: \S+/.test(line)) throw new Error(`line ${index + 1}: ${line}`);
    }
  }
  return { title, settings, lines };
}

export async function runTranscript({ settings, lines }: Transcript, backend: StoreUnderTest): Promise<void> {
  const tls = settings.get('tls') ?? 'none';
  const policy = Object.fromEntries(
    (settings.get('policy') ?? 'allowCleartextLogin=true')
      .split(',')
      .map((pair) => pair.split('='))
      .map(([key = '', value = '']) => [key, value === 'true' ? true : value === 'false' ? false : Number(value)]),
  );
  const quota = settings.get('quota');
  await using imap = await ImapUnderTest.open(backend, {
    policy,
    implicitTls: tls === 'implicit',
    quotaBytes: quota === undefined ? null : Number(quota),
  });
  const fixture = fixtures[settings.get('mailbox') ?? 'empty'];
  if (fixture === undefined) throw new Error(`no mailbox ${settings.get('mailbox')}`);
  await imap.put(fixture);
  const clients: Client[] = [];
  const captured = new Map<string, string>();
  try {
    for (let n = 0; n < Number(settings.get('connections') ?? 1); n++) {
      const client = await Client.dial(imap.listener.port, tls === 'implicit');
      clients.push(client);
      await client.arrive(settings.get('state') ?? 'greeted');
    }
    for (const line of lines) {
      const client = clients[line.client - 1];
      if (client === undefined) throw new Error(`line ${line.number}: no connection ${line.client}`);
      await play(line, { client, imap, captured });
    }
    for (const client of clients) client.expectSilence();
    const mayFail = lines.some(({ text }) => text.startsWith('store-broken'));
    if (!mayFail && imap.failures.length > 0) throw new Error(imap.failures.join('\n'));
  } finally {
    for (const client of clients) client.destroy();
  }
}

type Stage = { readonly client: Client; readonly imap: ImapUnderTest; readonly captured: Map<string, string> };

async function play(line: Line, { client, imap, captured }: Stage): Promise<void> {
  const text = line.text.replaceAll(/\$\{=(\w+)\}/g, (_, name: string) => captured.get(name) ?? `<no ${name}>`);
  switch (line.does) {
    case 'C':
      client.send(`${unescape(text)}\r\n`);
      return;
    case 'C~':
      client.send(unescape(text));
      return;
    case 'S': {
      const heard = await client.line();
      if (!matches(text, heard, captured)) {
        throw new Error(`line ${line.number}: expected ${text}\n but heard       ${heard}`);
      }
      return;
    }
    default:
      await direct(text, client, imap);
  }
}

async function direct(text: string, client: Client, imap: ImapUnderTest): Promise<void> {
  const [what = '', ...rest] = text.split(' ');
  switch (what) {
    case 'starttls':
      return client.startTls();
    case 'closed':
      return client.expectEnd();
    case 'silence':
      await new Promise((resolve) => setTimeout(resolve, 50));
      return client.expectSilence();
    case 'deliver':
      return imap.deliver(unescape(rest.join(' ')), 'Return-Path: <ann@example.org>\r\n');
    case 'store-fault':
      imap.store.fault = rest[0] === 'none' ? null : { kind: 'unavailable' };
      return;
    case 'write-fault':
      imap.store.writeFault = rest[0] === 'none' ? null : { kind: 'storage-full' };
      return;
    case 'store-broken':
      imap.store.isBroken = rest[0] === 'true';
      return;
    case 'stop':
      void imap.listener.close(2_000);
      return;
    case 'drip':
      return drip(client, Number(rest[0]), unescape(rest[1] ?? ''));
    case 'repeat':
      for (let n = 0; n < Number(rest[0]); n++) client.send(unescape(rest.slice(1).join(' ')));
      return;
    default:
      throw new Error(`no such direction: ${text}`);
  }
}

/** So many times the text, 50 ms apart. */
async function drip(client: Client, times: number, text: string): Promise<void> {
  for (let n = 0; n < times; n++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.send(text);
  }
}

function unescape(text: string): string {
  return text.replaceAll(/\\(r|n|0|x[0-9a-f]{2})/g, (_, code: string) => {
    if (code === 'r') return '\r';
    if (code === 'n') return '\n';
    return code === '0' ? '\0' : String.fromCharCode(Number.parseInt(code.slice(1), 16));
  });
}

/** `${name}` captures a word, or has to be the same again; `...` is anything; of a condition the words are free. */
function matches(expected: string, heard: string, captured: Map<string, string>): boolean {
  const names: string[] = [];
  let pattern = expected
    .split(/(\$\{\w+\}|\.\.\.)/)
    .map((piece) => {
      const name = /^\$\{(\w+)\}$/.exec(piece)?.[1];
      if (name === undefined) return piece === '...' ? '.*' : escaped(piece);
      const known = captured.get(name);
      if (known !== undefined) return escaped(known);
      names.push(name);
      return String.raw`([^\s()\[\]]+)`;
    })
    .join('');
  if (/^\S+ (OK|NO|BAD|BYE)( \[.*\])?$/.test(expected)) {
    // Where no response code is expected, none may come.
    pattern += expected.endsWith(']') ? ' .*' : String.raw` (?!\[).*`;
  }
  if (expected.startsWith('+')) pattern += '.*';
  const found = new RegExp(`^${pattern}$`, 's').exec(heard);
  names.forEach((name, index) => captured.set(name, found?.[index + 1] ?? ''));
  return found !== null;
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
