/** The contract of the outbound queue, on the Postgres of the suites and on the oldest that is supported. */
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import { migrate } from '#shared/db/migrate.ts';
import type { LaneBatch, OutboundQueue, Settlement } from '#server/mail/outbound-queue.ts';
import { Janitor } from '#server/store/pg-janitor.ts';
import { writeLimits } from '#server/store/pg-queue-limits.ts';
import { insertAccount } from '../contracts/pg-store.ts';
import { createTestDatabase } from '../harness/database.ts';
import { startDebianPostgres } from '../harness/debian-postgres.ts';
import { spooled } from '../harness/message.ts';
import {
  addressesOf,
  delivered,
  directRouter,
  done,
  facts,
  later,
  newOutbound,
  openQueue,
  type QueueUnderTest,
} from './queue-under-test.ts';

const postgres: readonly (readonly [string, () => Promise<{ readonly url: string } & AsyncDisposable>])[] = [
  ['the embedded Postgres', createTestDatabase],
  ['Postgres 15', startMigrated15],
];

async function startMigrated15(): Promise<{ readonly url: string } & AsyncDisposable> {
  const server = await startDebianPostgres();
  await using database = createDatabase({ url: server.url });
  await migrate(database);
  return server;
}

describe.each(postgres)('the queue on %s', (_, start) => {
  let server: { readonly url: string } & AsyncDisposable;
  let under: QueueUnderTest;

  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  async function opened(router = directRouter()): Promise<QueueUnderTest> {
    under = openQueue(server.url, router);
    await sql`truncate outbound_message, outbound_recipient, outbound_destination, outbound_lane, outbound_worker, outbound_attempt`.execute(
      under.database.db,
    );
    return under;
  }

  test('what was accepted is claimed once, with all that is known of it', async () => {
    await using queue = await opened();
    const by = new Date(Date.now() + 3600_000);
    const id = await queue.send({
      to: [{ address: 'bob@there.test', notify: ['success', 'delay'], orcpt: 'rfc822;bob@there.test' }],
      envelope: {
        envid: 'e1',
        ret: 'headers',
        body: '8bitmime',
        isSmtpUtf8: true,
        requiresTls: true,
        priority: 3,
        deliverBy: { at: by, mode: 'return', isTraced: true },
      },
      raw: 'Subject: all\r\n\r\nof it\r\n',
    });
    const [one, two] = [await queue.worker(), await queue.worker()];
    const batches = await one.claim(8, 10);
    expect(await two.claim(8, 10)).toEqual([]);
    const inHand = batches[0]?.inHand[0];
    expect(inHand?.message).toMatchObject({
      id,
      sender: 'ann@ours.test',
      envid: 'e1',
      ret: 'headers',
      body: '8bitmime',
      isSmtpUtf8: true,
      requiresTls: true,
      priority: 3,
      deliverBy: { at: by, mode: 'return', isTraced: true },
    });
    expect(inHand?.expiresAt).toEqual(by);
    expect(inHand?.recipient).toMatchObject({
      address: 'bob@there.test',
      notify: ['success', 'delay'],
      orcpt: 'rfc822;bob@there.test',
      attempts: 0,
    });
    expect(inHand?.message.content.prefix.toString()).toBe('Received: by test\r\n');
    const chunks: Buffer[] = [];
    for await (const chunk of inHand?.message.content.read(0, 1e9) ?? []) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).toBe('Subject: all\r\n\r\nof it\r\n');
  });

  test('a message over 1 MiB is read in pieces', async () => {
    await using queue = await opened();
    const raw = `Subject: large\r\n\r\n${'0123456789abcdef\r\n'.repeat(80_000)}`;
    await queue.send({ raw });
    const [batch] = await (await queue.worker()).claim(1, 1);
    const content = batch?.inHand[0]?.message.content;
    let read = '';
    for await (const chunk of content?.read(0, content.rawSize) ?? []) read += chunk.toString('latin1');
    expect(read === raw).toBe(true);
  });

  test('copies for accounts and rows of the queue are one transaction', async () => {
    await using queue = await opened();
    const accountId = await insertAccount(queue.database);
    await using message = await spooled('Subject: both\r\n\r\nways\r\n');
    const delivery = { accountId, mailboxId: null, prefix: Buffer.alloc(0), flags: 0, keywords: [] };
    const accepted = await queue.acceptor.accept(message, [delivery], [newOutbound(['bob@there.test'])]);
    expect([accepted.delivered.length, accepted.queued.length]).toEqual([1, 1]);
    const gone = { ...delivery, accountId: 9_000_000_000_000_000n as typeof accountId };
    await expect(queue.acceptor.accept(message, [gone], [newOutbound(['carol@there.test'])])).rejects.toThrow(
      'no-such-account',
    );
    expect(addressesOf(await (await queue.worker()).claim(4, 10))).toEqual(['bob@there.test']);
  });

  test('messages accepted at the same time keep their own recipients', async () => {
    await using queue = await opened();
    const ids = await Promise.all(
      Array.from({ length: 50 }, (_, at) => queue.send({ to: [`user${at}@there.test`, `other${at}@there.test`] })),
    );
    const batches = await (await queue.worker()).claim(4, 1000);
    for (const { message, recipient } of batches.flatMap(({ inHand }) => inHand)) {
      expect(recipient.address).toMatch(new RegExp(`^(user|other)${ids.indexOf(message.id)}@`));
    }
    expect(addressesOf(batches).length).toBe(100);
  });

  test('an outcome is written once, and only under its lease', async () => {
    await using queue = await opened();
    await queue.send({ to: ['a@there.test', 'b@there.test', 'c@there.test'] });
    const worker = await queue.worker();
    const [batch] = await worker.claim(1, 10);
    const [a, b, c] = batch?.inHand ?? [];
    if (!batch || !a || !b || !c) throw new Error('nothing was claimed');
    const due = new Date(Date.now() + 60_000);
    expect(await worker.settle([delivered(a), later(b, due)])).toEqual(new Set());
    // The answer was lost: it is written again, to no effect.
    expect(await worker.settle([delivered(a), later(b, due)])).toEqual(new Set());
    const strange = { ...c, token: 1n as typeof c.token };
    expect(await worker.settle([delivered(strange)])).toEqual(new Set([c.recipient.id]));
    const shown = await queue.administration.show(a.message.id);
    expect(shown?.attempts.map(({ recipient, outcome, isStale }) => [recipient, outcome, isStale]).sort()).toEqual([
      ['a@there.test', 'delivered', false],
      ['b@there.test', 'later', false],
      ['c@there.test', 'delivered', true],
    ]);
    expect(
      shown?.rows.map(({ recipient, attempts, isLeased, reason, dueAt }) => [
        recipient,
        attempts,
        isLeased,
        reason,
        dueAt,
      ]),
    ).toEqual([
      ['b@there.test', 1, false, 'come again', due],
      ['c@there.test', 0, true, null, expect.any(Date)],
    ]);
    expect(shown?.attempts[0]?.facts).toEqual(facts);
  });

  test('what was changed while it was in hand is settled as well', async () => {
    await using queue = await opened();
    const id = await queue.send({ to: ['a@there.test', 'b@there.test'] });
    const worker = await queue.worker();
    const [batch] = await worker.claim(1, 10);
    if (!batch) throw new Error('nothing was claimed');
    expect(await last(queue.administration.act({}, { kind: 'hold', reason: 'looks odd' }))).toBe(2);
    expect(await worker.settle(batch.inHand.map(delivered))).toEqual(new Set());
    const shown = await queue.administration.show(id);
    expect(shown?.rows).toEqual([]);
    expect(shown?.attempts.map(({ outcome, isStale }) => [outcome, isStale])).toEqual([
      ['delivered', false],
      ['delivered', false],
    ]);
  });

  test('attempts at many hosts are told each as it was', async () => {
    await using queue = await opened();
    const to = Array.from({ length: 40 }, (_, at) => `u${at}@there.test`);
    const id = await queue.send({ to });
    const worker = await queue.worker();
    const [batch] = await worker.claim(1, 100);
    const settlements = batch?.inHand.map((each): Settlement => ({
      ...delivered(each),
      facts: { ...facts, host: `mx.${each.recipient.address}` },
    }));
    expect(await worker.settle(settlements ?? [])).toEqual(new Set());
    const shown = await queue.administration.show(id);
    expect(new Map(shown?.attempts.map(({ recipient, facts: told }) => [recipient, told]))).toEqual(
      new Map(to.map((address) => [address, { ...facts, host: `mx.${address}` }])),
    );
    expect(shown?.attempts.every(({ attempt, isStale }) => attempt === 1 && !isStale)).toBe(true);
  });

  test('a lane goes on with the next batch, and the next hop is due again when its rows are', async () => {
    await using queue = await opened();
    await queue.send({ to: ['a@there.test', 'b@there.test', 'c@there.test'] });
    const worker = await queue.worker();
    const [first] = await worker.claim(1, 2);
    if (!first) throw new Error('nothing was claimed');
    await worker.settle(first.inHand.map(delivered));
    const second = (await worker.next([first.lane], 2)).get(first.lane.token);
    if (!second) throw new Error('there was no second batch');
    expect(addressesOf([first, second])).toEqual(['a@there.test', 'b@there.test', 'c@there.test']);
    await worker.settle(second.inHand.map((each) => later(each, new Date(Date.now() + 700))));
    expect((await worker.next([second.lane], 2)).size).toBe(0);
    await worker.giveBack([done(second)]);
    expect(await worker.claim(1, 2)).toEqual([]);
    expect(addressesOf(await untilClaimed(worker))).toEqual(['c@there.test']);
  });

  test('a next hop never has more lanes than it may, and fewer after it asked for a rest', async () => {
    await using queue = await opened(directRouter({ maxLanes: 3, perMinute: null }));
    await queue.send({ to: Array.from({ length: 20 }, (_, at) => `u${at}@there.test`) });
    const workers = await Promise.all(Array.from({ length: 5 }, () => queue.worker()));
    const claimed = (await Promise.all(workers.map((worker) => worker.claim(4, 1)))).flat();
    const more: LaneBatch[] = [];
    for (const worker of workers) more.push(...(await worker.claim(4, 1)));
    const batches = [...claimed, ...more];
    expect(batches.length).toBe(3);
    const owner = workers[0] as OutboundQueue;
    for (const batch of batches) {
      await owner.settle(batch.inHand.map((inHand): Settlement => ({ ...delivered(inHand), next: 'untried' })));
    }
    for (const worker of workers)
      await worker.giveBack(batches.map((batch) => ({ ...done(batch), fall: 0.5, blockedMs: 100 })));
    expect(await owner.claim(4, 1)).toEqual([]);
    const again = await untilClaimed(owner);
    for (const worker of workers) again.push(...(await worker.claim(4, 1)));
    expect(again.length).toBe(1);
  });

  test('a next hop that is known gets the bounds that its route has now', async () => {
    await using queue = await opened(directRouter({ maxLanes: 3, perMinute: 6 }));
    const { db } = queue.database;
    await queue.send({ to: Array.from({ length: 40 }, (_, at) => `u${at}@there.test`) });
    const worker = await queue.worker();
    const [first] = await worker.claim(1, 100);
    expect(first?.inHand.length).toBe(2);
    const limits = { name: 'direct', maxConnections: 2, messagesPerMinute: null };
    expect(await writeLimits(db, [limits, { ...limits, name: 'other' }])).toBe(1);
    expect(await writeLimits(db, [limits])).toBe(0);
    // As fast as it goes, over one lane more.
    expect((await worker.claim(4, 5)).map(({ lane, inHand }) => [lane.maxLanes, inHand.length])).toEqual([[2, 5]]);
    expect(await worker.claim(4, 5)).toEqual([]);
  });

  test('a pace in recipients a minute is kept', async () => {
    await using queue = await opened(directRouter({ maxLanes: 3, perMinute: 60 }));
    await queue.send({ to: Array.from({ length: 40 }, (_, at) => `u${at}@there.test`) });
    const worker = await queue.worker();
    const [first] = await worker.claim(1, 100);
    // Ten seconds' worth may go at once.
    expect(first?.inHand.length).toBe(11);
    expect(await worker.claim(1, 100)).toEqual([]);
    const [second] = await untilClaimed(worker);
    expect(second?.inHand.length).toBeLessThanOrEqual(2);
  });

  test('while all priorities wait, each goes on, the high ones most', async () => {
    await using queue = await opened();
    for (const priority of [-3, 0, 3]) {
      await queue.send({
        to: Array.from({ length: 30 }, (_, at) => `p${priority}.${at}@there.test`),
        envelope: { priority },
      });
    }
    const [batch] = await (await queue.worker()).claim(1, 26);
    const counts = [3, 0, -3].map(
      (priority) => batch?.inHand.filter(({ message }) => message.priority === priority).length,
    );
    expect(counts).toEqual([16, 8, 2]);
  });

  test('what a lost worker had in hand is others’, once, and told as lapsed; its late outcome changes nothing', async () => {
    await using queue = await opened();
    await queue.send({ to: ['a@there.test', 'b@there.test'] });
    const lost = await queue.worker({ leaseSeconds: 1 });
    const [batch] = await lost.claim(1, 10);
    if (!batch) throw new Error('nothing was claimed');
    const other = await queue.worker({ leaseSeconds: 1 });
    expect(await other.reap()).toBe(0);
    await sleep(1_100);
    await other.heartbeat();
    expect(await other.reap()).toBe(1);
    expect(await lost.heartbeat()).toBe(false);
    expect(await lost.claim(1, 10)).toEqual([]);
    // Alone, since a worker was lost with it.
    const again = await other.claim(1, 10);
    expect(addressesOf(again).length).toBe(1);
    expect((await lost.settle(batch.inHand.map(delivered))).size).toBe(2);
    await other.settle(again.flatMap(({ inHand }) => inHand.map(delivered)));
    const shown = await queue.administration.show(batch.inHand[0]?.message.id ?? (0n as never));
    expect(shown?.rows.length).toBe(1);
    expect(shown?.attempts.filter(({ outcome, isUncertain }) => outcome === 'lapsed' && isUncertain).length).toBe(2);
    expect(shown?.attempts.filter(({ isStale }) => isStale).length).toBe(2);
    const [destination] = await queue.database.db.selectFrom('outbound_destination').select('lanes').execute();
    expect(destination?.lanes).toBe(1);
  });

  test('a recipient that workers are lost with is dead in the end, and its neighbours are not', async () => {
    await using queue = await opened();
    const id = await queue.send({ to: ['poison@there.test', 'b@there.test', 'c@there.test'] });
    for (let crash = 0; crash < 6; crash++) {
      const worker = await queue.worker({ leaseSeconds: 1 });
      for (let batches = await worker.claim(1, 10); batches.length > 0; batches = await worker.claim(1, 10)) {
        if (addressesOf(batches).includes('poison@there.test')) break;
        for (const batch of batches) {
          await worker.settle(batch.inHand.map(delivered));
          await worker.giveBack([done(batch)]);
        }
      }
      await worker.leave();
      await worker.reap();
    }
    const shown = await queue.administration.show(id);
    expect(shown?.rows).toMatchObject([
      { recipient: 'poison@there.test', state: 'dead', reason: 'workers were lost with it' },
    ]);
    expect(shown?.attempts.filter(({ outcome }) => outcome === 'delivered').length).toBe(2);
  });

  test('what a lane could not settle comes back in a minute, and not for ever', async () => {
    await using queue = await opened();
    await queue.send();
    const worker = await queue.worker({ mostCrashes: 2 });
    for (const state of ['queued', 'dead']) {
      const [batch] = await worker.claim(1, 10);
      if (!batch) throw new Error('nothing was claimed');
      await worker.giveBack([{ ...done(batch), isSettled: false }]);
      expect(await worker.claim(1, 10)).toEqual([]);
      expect(await queue.administration.list({}, null, 10)).toMatchObject([{ state, isLeased: false }]);
      await sql`update outbound_recipient set due_at = now()`.execute(queue.database.db);
      await sql`update outbound_destination set next_due = now()`.execute(queue.database.db);
    }
  });

  test('a claim whose answer was lost is given back', async () => {
    await using queue = await opened();
    await queue.send({ to: ['a@there.test'] });
    await queue.send({ to: ['b@elsewhere.test'] });
    const worker = await queue.worker();
    const [known] = await worker.claim(1, 10);
    await worker.claim(1, 10);
    expect(await worker.disown(known ? [known.lane.token] : [])).toBe(1);
    const again = await worker.claim(8, 10);
    expect(addressesOf(again).length).toBe(1);
    expect(again[0]?.inHand[0]?.recipient.crashes).toBe(0);
  });

  test('held until a time, or by an administrator, nothing goes', async () => {
    await using queue = await opened();
    await queue.send({ envelope: { holdUntil: new Date(Date.now() + 700) } });
    const worker = await queue.worker();
    expect(await worker.claim(1, 10)).toEqual([]);
    const [batch] = await untilClaimed(worker);
    const inHand = batch?.inHand[0];
    if (!batch || !inHand) throw new Error('nothing was claimed');
    // In hand: it is held when it comes back.
    expect(await last(queue.administration.act({}, { kind: 'hold', reason: 'looks odd' }))).toBe(1);
    await worker.settle([later(inHand, null)]);
    await worker.giveBack([done(batch)]);
    expect(await worker.claim(1, 10)).toEqual([]);
    expect(await queue.administration.list({ state: 'held' }, null, 10)).toMatchObject([
      { recipient: 'bob@there.test' },
    ]);
    expect(await last(queue.administration.act({ recipientDomain: 'there.test' }, { kind: 'release' }))).toBe(1);
    expect(addressesOf(await worker.claim(1, 10))).toEqual(['bob@there.test']);
  });

  test('released, a message still waits for the sender’s time (RFC 4865)', async () => {
    await using queue = await opened();
    const holdUntil = new Date(Date.now() + 3600_000);
    await queue.send({ envelope: { holdUntil } });
    const worker = await queue.worker();
    await last(queue.administration.act({}, { kind: 'hold', reason: 'looks odd' }));
    await last(queue.administration.act({}, { kind: 'release' }));
    expect(await worker.claim(1, 10)).toEqual([]);
    const hop = { route: 'smarthost', domain: null };
    await last(queue.administration.act({}, { kind: 'reroute', hop }));
    expect(await worker.claim(1, 10)).toEqual([]);
    expect(await queue.administration.list({}, null, 10)).toMatchObject([{ state: 'queued', dueAt: holdUntil, hop }]);
    await last(queue.administration.act({}, { kind: 'retry' }));
    expect(addressesOf(await worker.claim(1, 10))).toEqual(['bob@there.test']);
  });

  test('what was captured or is dead goes another way as if it were new; what is held stays held', async () => {
    await using queue = await opened();
    await queue.send({ to: ['a@one.test', 'b@one.test', 'c@one.test'] });
    const worker = await queue.worker();
    const [batch] = await worker.claim(1, 10);
    const [a, b, c] = batch?.inHand ?? [];
    if (!batch || !a || !b || !c) throw new Error('nothing was claimed');
    const as = (inHand: typeof a, next: Settlement['next']): Settlement => ({ ...delivered(inHand), next });
    await worker.settle([as(a, 'captured'), as(b, 'dead'), as(c, 'held')]);
    await worker.giveBack([done(batch)]);
    const hop = { route: 'smarthost', domain: null };
    expect(await last(queue.administration.act({}, { kind: 'reroute', hop }))).toBe(3);
    const [moved] = await worker.claim(8, 10);
    expect(moved?.lane.hop).toEqual(hop);
    expect(moved?.inHand.map(({ recipient }) => recipient.address).toSorted()).toEqual(['a@one.test', 'b@one.test']);
    expect(await queue.administration.list({ state: 'held' }, null, 10)).toMatchObject([
      { recipient: 'c@one.test', hop },
    ]);
  });

  test('retry now, another way, cancel: for a domain, a sender, a message', async () => {
    await using queue = await opened();
    const id = await queue.send({ to: ['a@one.test', 'b@two.test'] });
    await queue.send({ to: ['c@one.test'], envelope: { sender: 'zoe@ours.test' } });
    const worker = await queue.worker();
    for (const batch of await worker.claim(8, 10)) {
      await worker.settle(batch.inHand.map((each) => later(each, new Date(Date.now() + 3600_000))));
      await worker.giveBack([done(batch)]);
    }
    expect(await worker.claim(8, 10)).toEqual([]);
    expect((await queue.administration.list({ isDeferred: true }, null, 10)).length).toBe(3);
    expect(
      await last(queue.administration.act({ recipientDomain: 'one.test', sender: 'ann@ours.test' }, { kind: 'retry' })),
    ).toBe(1);
    expect(addressesOf(await worker.claim(8, 10))).toEqual(['a@one.test']);
    const hop = { route: 'smarthost', domain: null };
    expect(await last(queue.administration.act({ sender: 'zoe@ours.test' }, { kind: 'reroute', hop }))).toBe(1);
    const [moved] = await worker.claim(8, 10);
    expect([moved?.lane.hop, moved?.inHand[0]?.recipient.address]).toEqual([hop, 'c@one.test']);
    // One is in hand, one waits for an hour: both hear of it.
    expect(await last(queue.administration.act({ ids: [id] }, { kind: 'cancel', isNotifying: true }))).toBe(2);
    const [cancelled] = await worker.claim(8, 10);
    expect(cancelled?.inHand.map(({ wanted, recipient }) => [wanted, recipient.address])).toEqual([
      ['cancel', 'b@two.test'],
    ]);
    expect((await queue.administration.statistics()).groups).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ state: 'queued', priority: 'normal', route: 'smarthost', recipients: 1 }),
      ]),
    );
  });

  test('what is in hand is cancelled as soon as its attempt is over, though its next hop is to rest', async () => {
    await using queue = await opened();
    const ids = [await queue.send({ to: ['a@one.test'] }), await queue.send({ to: ['b@two.test'] })];
    const worker = await queue.worker();
    const batches = await worker.claim(8, 10);
    expect(addressesOf(batches).toSorted()).toEqual(['a@one.test', 'b@two.test']);
    expect(await last(queue.administration.act({ ids }, { kind: 'cancel', isNotifying: false }))).toBe(2);
    expect(await worker.claim(8, 10)).toEqual([]);
    for (const batch of batches) {
      await worker.settle(batch.inHand.map((each) => later(each, new Date(Date.now() + 3600_000))));
      await worker.giveBack([done(batch)]);
    }
    const [cancelled] = await worker.claim(8, 10);
    expect(cancelled?.lane.hop).toEqual({ route: 'cancel', domain: null });
    expect(cancelled?.inHand.map(({ wanted, recipient }) => [recipient.address, wanted])).toEqual([
      ['a@one.test', 'cancel-quietly'],
      ['b@two.test', 'cancel-quietly'],
    ]);
  });

  test('a notice is written with the outcome or not at all', async () => {
    await using queue = await opened();
    await queue.send({ to: ['a@there.test', 'b@there.test'] });
    const worker = await queue.worker();
    const [batch] = await worker.claim(1, 10);
    const [a, b] = batch?.inHand ?? [];
    if (!a || !b) throw new Error('nothing was claimed');
    await using report = await spooled('Subject: report\r\n\r\nsorry\r\n');
    const notice = {
      message: report,
      deliveries: [],
      outbound: [newOutbound(['ann@ours.test'], { origin: 'notice', sender: '' })],
    };
    const failed = (inHand: typeof a): Settlement => ({ ...delivered(inHand), outcome: 'never' });
    expect((await worker.tellDelay([a], 1, notice))?.queued.length).toBe(1);
    expect(await worker.tellDelay([a], 1, notice)).toBeNull();
    expect((await worker.settleWithNotice([failed(a)], notice))?.queued.length).toBe(1);
    expect(await worker.settleWithNotice([failed(a), failed(b)], notice)).toBeNull();
    const left = await queue.administration.list({}, null, 10);
    expect(left.map(({ recipient }) => recipient).sort()).toEqual(['ann@ours.test', 'ann@ours.test', 'b@there.test']);
  });

  test('the janitor keeps the blob while a recipient needs it, and the history for a time', async () => {
    await using queue = await opened();
    const id = await queue.send();
    const janitor = new Janitor({ database: queue.database, graceSeconds: 0, logSeconds: 0, outboundSeconds: 0 });
    // Those of the tests before.
    await janitor.sweepOnce();
    const worker = await queue.worker();
    const [batch] = await worker.claim(1, 10);
    const content = batch?.inHand[0]?.message.content;
    for await (const chunk of content?.read(0, 10) ?? []) expect(chunk.length).toBe(10);
    await worker.settle(batch?.inHand.map(delivered) ?? []);
    const swept = await janitor.sweepOnce();
    expect(swept).toMatchObject({ blobs: 1, outboundMessages: 1, outboundAttempts: 1 });
    expect(await queue.administration.show(id)).toBeNull();
  });
});

async function untilClaimed(worker: OutboundQueue): Promise<LaneBatch[]> {
  for (;;) {
    const batches = await worker.claim(1, 100);
    if (batches.length > 0) return [...batches];
    await sleep(50);
  }
}

async function last(counts: AsyncIterable<number>): Promise<number> {
  let count = 0;
  for await (const each of counts) count = each;
  return count;
}
