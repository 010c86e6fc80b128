/** Where the numbers end: UIDs of 32 bits, modseqs that are far apart. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { uidSet } from '#server/mail/uid-set.ts';
import { flagBits } from '#server/mail/flags.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { everyUid, faultOf, messagesOf, TestAccount } from '../../test/contracts/store-under-test.ts';
import { brokenInvariants } from '../../test/harness/store-invariants.ts';

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

test('the last UIDs of a mailbox are as good as the first, and then it is full', async () => {
  const account = await TestAccount.create(under);
  const trash = await account.mailbox('Trash');
  const { db } = under.database;
  await db.updateTable('mailbox').set({ uidnext: 4_294_967_288n }).where('account_id', '=', account.id).execute();
  const last = [4_294_967_288, 4_294_967_289, 4_294_967_290];
  await account.append(3, { keywords: ['k'] });
  expect(await account.uids()).toEqual(last);
  expect((await account.fetch({ flags: true, size: true })).map(({ uid }) => uid)).toEqual(last);
  const { source, destination } = await account.store.copy(account.id, account.inboxId, everyUid, trash.id);
  expect([source, destination]).toEqual([
    uidSet([[last[0] ?? 0, last[2] ?? 0]]),
    uidSet([[last[0] ?? 0, last[2] ?? 0]]),
  ]);
  await account.change(uidSet([[last[2] ?? 0, 0xffff_ffff]]), { flags: flagBits.deleted });
  expect(await account.store.expunge(account.id, account.inboxId, null)).toEqual(
    uidSet([[last[2] ?? 0, last[2] ?? 0]]),
  );
  expect((await faultOf(account.append(9))).kind).toBe('limit');
  expect(
    (
      await faultOf(
        account.store
          .move(account.id, account.inboxId, everyUid, trash.id)
          .then(async () => account.append(9, { mailboxId: trash.id })),
      )
    ).kind,
  ).toBe('limit');
  await account.append(2, { mailboxId: trash.id });
  expect((await faultOf(account.store.copy(account.id, trash.id, everyUid, trash.id))).kind).toBe('limit');
  expect(await account.uids(trash.id)).toEqual(Array.from({ length: 7 }, (_, i) => 4_294_967_288 + i));
  expect(await brokenInvariants(under.url)).toEqual([]);
});

test('a page whose changes are billions of modseqs apart keeps them in order', async () => {
  const account = await TestAccount.create(under);
  await account.append(3);
  const { db } = under.database;
  const jump = async (modSeq: bigint): Promise<void> => {
    // The log is pruned so far: what is older may look newer than it was.
    const state = { modseq: modSeq, log_floor: modSeq };
    await db.updateTable('account_state').set(state).where('account_id', '=', account.id).execute();
  };
  const modSeqs = async (): Promise<readonly number[]> => messagesOf(await account.state()).map(({ modSeq }) => modSeq);
  // Once by a delivery, which does it in SQL, and once by a STORE, which does it in memory.
  await jump(5_000_000_000n);
  await account.append(1);
  expect((await modSeqs()).slice(3)).toEqual([5_000_000_001]);
  await jump(12_000_000_000n);
  await account.change(uidSet([[2, 2]]), { flags: flagBits.seen });
  const after = await modSeqs();
  expect(after[1]).toBe(12_000_000_001);
  expect(Math.max(after[0] ?? 0, after[2] ?? 0, after[3] ?? 0)).toBeLessThan(12_000_000_001);
  await account.change(everyUid, { flags: flagBits.flagged });
  expect(await modSeqs()).toEqual(Array.from({ length: 4 }, () => 12_000_000_002));
  expect(await brokenInvariants(under.url)).toEqual([]);
});
