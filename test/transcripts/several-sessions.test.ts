/**
 * RFC 3501 sections 5.2, 7.3 and 7.4: clients that work on one mailbox at the same time, each of which only believes
 * what it is told, have the same mailbox in the end. In Postgres they are on two servers.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryMailStore } from '#server/store/memory-mail-store.ts';
import { openPgStore } from '../contracts/pg-store.ts';
import type { StoreUnderTest } from '../contracts/store-under-test.ts';
import { Client } from './client.ts';
import { fixtures } from './fixtures.ts';
import { ImapUnderTest } from './imap-under-test.ts';

type Known = { uid: number | null; flags: Set<string> | null };

/** What a client believes. */
class Believer {
  readonly client: Client;
  messages: Known[] = [];

  constructor(client: Client) {
    this.client = client;
  }

  async do(command: string): Promise<void> {
    this.client.send(`y1 ${command}\r\n`);
    for (;;) {
      let line = await this.client.line();
      // The literals here have no line end in them.
      if (/\{\d\}$/.test(line)) line += await this.client.line();
      // NO: messages that another session expunged.
      if (line.startsWith('y1 OK') || line.startsWith('y1 NO [EXPUNGEISSUED]')) return;
      if (line.startsWith('y1 ')) throw new Error(`${command}: ${line}`);
      this.hear(line);
    }
  }

  hear(line: string): void {
    const [, number = '', what = '', rest = ''] = /^\* (\d+) (EXISTS|EXPUNGE|FETCH) ?(.*)$/.exec(line) ?? [];
    const n = Number(number);
    if (what === 'EXISTS') {
      expect(n).toBeGreaterThanOrEqual(this.messages.length);
      while (this.messages.length < n) this.messages.push({ uid: null, flags: null });
    } else if (what === 'EXPUNGE') {
      expect(n).toBeLessThanOrEqual(this.messages.length);
      this.messages.splice(n - 1, 1);
    } else if (what === 'FETCH') {
      const message = this.messages[n - 1];
      if (message === undefined) throw new Error(`${line} of ${this.messages.length}`);
      const uid = /UID (\d+)/.exec(rest)?.[1];
      if (uid !== undefined) {
        if (message.uid !== null) expect(message.uid).toBe(Number(uid));
        message.uid = Number(uid);
      }
      const flags = /FLAGS \(([^)]*)\)/.exec(rest)?.[1];
      if (flags !== undefined) message.flags = flagSet(flags);
    }
  }
}

function flagSet(text: string): Set<string> {
  return new Set(text.split(' ').filter((flag) => flag !== '' && flag !== String.raw`\Recent`));
}

type Act = { readonly by: number; readonly what: string; readonly n: number; readonly alone: boolean };

const act: fc.Arbitrary<Act> = fc.record({
  by: fc.nat({ max: 1 }),
  what: fc.constantFrom(
    'flag',
    'unflag',
    'silent',
    'delete',
    'expunge',
    'append',
    'copy',
    'move',
    'noop',
    'seen',
    'fetch',
  ),
  n: fc.nat({ max: 50 }),
  alone: fc.boolean(),
});

async function perform(believer: Believer, { what, n }: Act): Promise<void> {
  const { messages } = believer;
  const seq = messages.length === 0 ? 0 : (n % messages.length) + 1;
  if (what === 'append') return believer.do('APPEND INBOX {3+}\r\nabc');
  if (what === 'noop') return believer.do('NOOP');
  if (what === 'expunge') return believer.do('EXPUNGE');
  if (seq === 0) return;
  if (what === 'silent') {
    await believer.do(String.raw`STORE ${seq} +FLAGS.SILENT (\Draft k${n % 3})`);
    // Numbers don't move during a STORE.
    believer.messages[seq - 1]?.flags?.add(String.raw`\Draft`).add(`k${n % 3}`);
    return;
  }
  const commands: Readonly<Record<string, string>> = {
    flag: String.raw`STORE ${seq} +FLAGS (\Flagged k${n % 3})`,
    unflag: String.raw`UID STORE 1:* -FLAGS (\Flagged)`,
    delete: String.raw`STORE ${seq} +FLAGS (\Deleted)`,
    copy: `COPY ${seq} INBOX`,
    move: `MOVE ${seq} Archive`,
    seen: `FETCH ${seq} BODY[TEXT]<0.1>`,
    fetch: `FETCH 1:${seq} (UID FLAGS)`,
  };
  await believer.do(commands[what] ?? 'NOOP');
}

async function live(acts: readonly Act[], stores: readonly [StoreUnderTest, StoreUnderTest]): Promise<void> {
  const options = { policy: { allowCleartextLogin: true }, implicitTls: false, quotaBytes: null };
  await using first = await ImapUnderTest.open(stores[0], options);
  await using second = await ImapUnderTest.open(stores[1], { ...options, accountId: first.accountId });
  await first.put([...(fixtures.three ?? []), ...(fixtures['two-plain'] ?? [])]);
  const believers: Believer[] = [];
  try {
    for (const { listener } of [first, second]) {
      const client = await Client.dial(listener.port, false);
      await client.arrive('authenticated');
      const believer = new Believer(client);
      believers.push(believer);
      for (const line of await client.command('SELECT INBOX')) believer.hear(line);
      await believer.do('FETCH 1:* (UID FLAGS)');
    }
    for (const next of acts) {
      // Two clients at the same time, but for what a client that asks for silence has to guess.
      const other = next.alone || next.what === 'silent' ? null : { ...next, what: 'flag' };
      await Promise.all([
        perform(believers[next.by] as Believer, next),
        other && perform(believers[1 - next.by] as Believer, other),
      ]);
    }
    for (const believer of believers) await believer.do('NOOP');
    for (const { messages, client } of believers) {
      const fresh = new Believer(client);
      fresh.messages = messages.map(() => ({ uid: null, flags: null }));
      if (messages.length > 0) await fresh.do('FETCH 1:* (UID FLAGS)');
      else expect(await client.command('UID SEARCH ALL')).toEqual(['* SEARCH']);
      for (const [index, { uid, flags }] of messages.entries()) {
        if (uid !== null) expect(uid).toBe(fresh.messages[index]?.uid);
        if (flags !== null) expect(flags).toEqual(fresh.messages[index]?.flags);
      }
    }
    expect(believers[0]?.messages.length).toBe(believers[1]?.messages.length);
  } finally {
    for (const { client } of believers) client.destroy();
  }
}

test('in memory', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 25 }), async (acts) => {
      const store = new MemoryMailStore();
      const backend: StoreUnderTest = {
        store,
        feed: store.feed,
        createAccount: ({ limitBytes }) => Promise.resolve(store.createAccount(limitBytes)),
        countBlobs: () => Promise.resolve(store.blobCount),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
      await live(acts, [backend, backend]);
    }),
    { numRuns: 60 },
  );
});

test('on two servers with one database', { timeout: 120_000 }, async () => {
  await using first = await openPgStore();
  await using second = await openPgStore({ url: first.url });
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 25 }), (acts) => live(acts, [first, second])),
    { numRuns: 15 },
  );
});
