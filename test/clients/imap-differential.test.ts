import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MemoryMailStore } from '#server/store/memory-mail-store.ts';
import { openPgStore, type PgStoreUnderTest } from '../contracts/pg-store.ts';
import type { StoreUnderTest } from '../contracts/store-under-test.ts';
import { Dovecot } from '../harness/dovecot.ts';
import { ImapSession } from '../harness/imap-session.ts';
import { lacks } from '../harness/programs.ts';
import { ImapUnderTest, login, password } from '../transcripts/imap-under-test.ts';
import { acts, lastingMailboxes, type Act } from './imap-differential-commands.ts';
import { differences, explain, quirks, rareMeetings } from './imap-differential-quirks.ts';
import { Observer, type Observed } from './imap-differential.ts';

type Pair = { readonly ours: Observer; readonly theirs: Observer };

/** A server of ours and a Dovecot with the same mail, and two clients of both. */
class Duel implements AsyncDisposable {
  readonly #imap: ImapUnderTest;
  readonly #dovecot: Dovecot;
  readonly #sessions: ImapSession[] = [];
  readonly #pairs: Pair[] = [];
  readonly #said: string[] = [];

  private constructor(imap: ImapUnderTest, dovecot: Dovecot) {
    this.#imap = imap;
    this.#dovecot = dovecot;
  }

  static async begin(backend: StoreUnderTest): Promise<Duel> {
    const policy = { allowCleartextLogin: true };
    const imap = await ImapUnderTest.open(backend, { policy, implicitTls: false, quotaBytes: null });
    const duel = new Duel(imap, await Dovecot.start());
    const ours = await duel.#connectToUs();
    for (const name of ['Sent', 'Drafts', 'Trash', 'Spam', 'Archive']) {
      await ours.command(`UNSUBSCRIBE ${name}`);
      await ours.command(`DELETE ${name}`);
    }
    await ours.command('UNSUBSCRIBE INBOX');
    for (const session of [ours, await duel.#dovecot.connect()]) await fill(session);
    for (let n = 0; n < 2; n++) {
      const pair = await duel.#connect();
      await both(pair, 'SELECT INBOX');
      await both(pair, 'FETCH 1:* (UID FLAGS)');
      duel.#pairs.push(pair);
    }
    return duel;
  }

  /** Gives both answers. */
  async ask({ by, command: template }: Act): Promise<{ readonly ours: Observed; readonly theirs: Observed }> {
    const pair = this.#pair(by);
    const count = Math.max(pair.ours.messages.length, 1);
    const command = template.replaceAll(/#(\d)/g, (_, digit) => `${(Number(digit) % count) + 1}`);
    const answers = await both(pair, command);
    this.#said.push(`${by} ${command} -> ${answers.ours.outcome} / ${answers.theirs.outcome}`);
    return answers;
  }

  /** Gives the quirk that was met, if any. Throws on a difference that none explains. */
  async play(act: Act): Promise<string | null> {
    let answers = await this.ask(act);
    let why = explain(act.command, answers);
    if (why === undefined && /SEARCH/.test(act.command)) {
      // "news-in-search": once both have told the news they have to agree.
      await this.ask({ by: act.by, command: 'NOOP' });
      answers = await this.ask(act);
      why = explain(act.command, answers);
    }
    if (why === undefined) this.#fail(answers.ours, answers.theirs);
    if (why !== null && quirks[why]?.divides) return why;
    if (answers.ours.outcome === 'BYE') this.#pairs[act.by] = await this.#connect();
    else if (!/FETCH|STORE|SEARCH/.test(act.command) || answers.ours.outcome !== 'OK' || differ(this.#pair(act.by))) {
      // When they tell what others changed is up to them.
      const news = { by: act.by, command: 'NOOP' };
      const told = await this.ask(news);
      if (told.ours.outcome === 'BYE' && told.theirs.outcome === 'BYE') this.#pairs[act.by] = await this.#connect();
      const unlike = explain(news.command, told);
      if (unlike === undefined) this.#fail(told.ours, told.theirs);
      return unlike ?? why;
    }
    return why;
  }

  /** What the clients believe has to be so. "expunge-of-news" is given back. */
  async compare(by: number): Promise<string | null> {
    const pair = this.#pair(by);
    if (!differ(pair)) return null;
    const believed = pair.ours.belief();
    await this.ask({ by, command: 'FETCH 1:* (UID FLAGS)' });
    for (const [index, { flags }] of pair.ours.messages.entries()) {
      if (!believed[index]?.endsWith('?')) expect(`${believed[index]} ${this.#said.join('\n')}`).toContain(` ${flags}`);
    }
    if (!differ(pair)) return null;
    const extra = pair.theirs.messages.filter(({ uid }) => !pair.ours.messages.some((known) => known.uid === uid));
    const isOld = extra.length > 0 && extra.every(({ flags }) => flags?.includes('deleted'));
    if (isOld && this.#said.some((line) => /EXPUNGE|CLOSE/.test(line))) return 'expunge-of-news';
    return this.#fail(pair.ours.belief(), pair.theirs.belief());
  }

  async finish(): Promise<void> {
    for (const [by, { ours }] of this.#pairs.entries()) {
      if (!ours.isSelected) continue;
      await this.play({ by, command: 'NOOP' });
      await this.compare(by);
    }
    expect(this.#imap.failures).toEqual([]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session[Symbol.asyncDispose]();
    await this.#dovecot[Symbol.asyncDispose]();
    await this.#imap[Symbol.asyncDispose]();
  }

  #pair(by: number): Pair {
    return this.#pairs[by] as Pair;
  }

  #fail(ours: unknown, theirs: unknown): never {
    const told = (side: unknown): string => JSON.stringify(side, null, 1);
    throw new Error(`${this.#said.join('\n')}\nours: ${told(ours)}\ntheirs: ${told(theirs)}`);
  }

  async #connect(): Promise<Pair> {
    return { ours: new Observer(await this.#connectToUs()), theirs: new Observer(await this.#dovecot.connect()) };
  }

  async #connectToUs(): Promise<ImapSession> {
    const socket = net.connect({ port: this.#imap.listener.port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const session = new ImapSession(socket, socket, {
      explain: () => this.#imap.failures.join('\n'),
      async end() {
        socket.destroy();
      },
    });
    this.#sessions.push(session);
    await session.greeting();
    await session.command(`LOGIN ${login} ${password}`);
    return session;
  }
}

async function fill(session: ImapSession): Promise<void> {
  const message = 'Date: Tue, 3 Feb 2026 10:00:00 +0000\r\nSubject: first\r\n\r\nbody\r\n';
  for (let n = 0; n < 3; n++) {
    await session.command(`APPEND INBOX " 1-Jan-2026 00:00:00 +0000" {${message.length}+}\r\n${message}`);
  }
  for (const name of lastingMailboxes) if (name !== 'INBOX') await session.command(`CREATE ${name}`);
  // Nothing is \Recent any more.
  await session.command('SELECT INBOX');
}

async function both({ ours, theirs }: Pair, command: string) {
  return { ours: await ours.perform(command), theirs: await theirs.perform(command) };
}

function differ({ ours, theirs }: Pair): boolean {
  if (ours.messages.length !== theirs.messages.length) return true;
  return ours.messages.some(({ flags }, index) => {
    const other = theirs.messages[index]?.flags ?? null;
    return flags !== null && other !== null && flags !== other;
  });
}

async function duel(list: readonly Act[], backend: StoreUnderTest, met: Set<string>): Promise<void> {
  await using stage = await Duel.begin(backend);
  for (const act of list) {
    const why = (await stage.play(act)) ?? (await stage.compare(act.by));
    if (why === null) continue;
    met.add(why);
    if (quirks[why]?.divides || why in differences) return;
  }
  await stage.finish();
}

function observed([outcome = '', ...answers]: readonly string[]): Observed {
  return { outcome, answers };
}

function openMemoryStore(): StoreUnderTest {
  const store = new MemoryMailStore();
  return {
    store,
    feed: store.feed,
    createAccount: ({ limitBytes }) => Promise.resolve(store.createAccount(limitBytes)),
    countBlobs: () => Promise.resolve(store.blobCount),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

describe.skipIf(lacks('/usr/sbin/dovecot'))(
  'the same commands, sent to us and to Dovecot, have the same answers',
  () => {
    let postgres: PgStoreUnderTest;
    beforeAll(async () => {
      postgres = await openPgStore();
    });
    afterAll(() => postgres[Symbol.asyncDispose]());

    test('in memory, and every quirk is met', { timeout: 3_600_000 }, async () => {
      const met = new Set<string>();
      const property = fc.asyncProperty(acts(2, 40), (list) => duel(list, openMemoryStore(), met));
      const numRuns = Number(process.env['DUELS'] ?? 90);
      const seed = Number(process.env['DUEL_SEED'] ?? 2);
      await fc.assert(property, { numRuns, seed, examples: rareMeetings.map((list) => [list]) });
      // Whether Dovecot dies is up to what it happens to have in memory.
      const missed = Object.keys(quirks).filter((name) => !met.has(name) && name !== 'dovecot-dies');
      expect(missed).toEqual([]);
    });

    test('in Postgres', { timeout: 120_000 }, async () => {
      const property = fc.asyncProperty(acts(2, 40), (list) => duel(list, postgres, new Set()));
      await fc.assert(property, { numRuns: 20, seed: 3 });
    });

    test.each(Object.entries(differences))('but for %s', async (_name, { acts: list, ours, theirs }) => {
      await using stage = await Duel.begin(openMemoryStore());
      let last: { readonly ours: Observed; readonly theirs: Observed } | null = null;
      for (const act of list) last = await stage.ask(act);
      expect(last).toEqual({ ours: observed(ours), theirs: observed(theirs) });
    });

    test('every quirk is explained', async () => {
      const text = await readFile('docs/quirks.md', 'utf8');
      const section = text.split(/^## /m).find((part) => part.startsWith('IMAP commands: Postrider and Dovecot')) ?? '';
      const explained = [...section.matchAll(/^### `([\w-]+)`/gm)].map(([, quirk]) => quirk);
      expect(new Set(explained)).toEqual(new Set([...Object.keys(quirks), ...Object.keys(differences)]));
    });
  },
);
