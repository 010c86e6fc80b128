import { describe, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import { initialMailboxes } from '#server/mail/mailbox.ts';
import { maxMailboxes, maxMailboxLevels } from '#shared/base/limits.ts';
import { faultOf, messagesOf, letter, TestAccount, unknownMailbox, type StoreUnderTest } from './store-under-test.ts';

const initialNames = initialMailboxes.map(({ name }) => name).toSorted();

export function mailboxContract(under: () => StoreUnderTest): void {
  describe('list, find and create', () => {
    listContract(under);
  });
  describe('delete', () => {
    deleteContract(under);
  });
  describe('rename', () => {
    renameContract(under);
  });
  describe('subscriptions', () => {
    subscriptionContract(under);
  });
}

function listContract(under: () => StoreUnderTest): void {
  test('a new account has the initial mailboxes with their special uses', async () => {
    const account = await TestAccount.create(under());
    const mailboxes = await account.store.listMailboxes(account.id);
    expect(mailboxes.map(({ name, specialUse }) => ({ name, specialUse }))).toEqual(
      initialMailboxes.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    );
    for (const mailbox of mailboxes) {
      expect(mailbox).toMatchObject({ messages: 0, unseen: 0, sizeBytes: 0, uidNext: 1, recentFrom: 1, keywords: [] });
      expect(mailbox.uidValidity).toBeGreaterThan(0);
      expect(mailbox.uidValidity).toBeLessThan(2 ** 32);
      // RFC 7162 section 3.1.2.1: HIGHESTMODSEQ is never 0.
      expect(mailbox.highestModSeq).toBeGreaterThan(0);
    }
    expect(new Set(mailboxes.map(({ id }) => id)).size).toBe(mailboxes.length);
  });

  test('are found by exact name, INBOX in any case', async () => {
    const account = await TestAccount.create(under());
    expect((await account.mailbox('inBOX')).id).toBe(account.inboxId);
    expect((await account.mailbox('inBOX')).name).toBe('INBOX');
    const work = await account.create('Work');
    expect(await account.store.findMailbox(account.id, 'Work')).toEqual(work);
    expect(await account.store.findMailbox(account.id, 'work')).toBeNull();
    expect(await account.store.findMailbox(account.id, 'Work/')).toBeNull();
    expect(await account.store.findMailbox(account.id, '')).toBeNull();
  });

  test('a name is the same however it is composed', async () => {
    const account = await TestAccount.create(under());
    const made = await account.create('Cafe\u0301');
    expect(made.name).toBe('Caf\u00e9');
    expect((await account.mailbox('Cafe\u0301')).id).toBe(made.id);
    expect((await faultOf(account.create('Caf\u00e9'))).kind).toBe('mailbox-exists');
  });

  test('creating makes the levels above', async () => {
    const account = await TestAccount.create(under());
    await account.create('a');
    const made = await account.store.createMailbox(account.id, 'a/b/c/', 'Archive');
    expect(made).toMatchObject({ name: 'a/b/c', specialUse: 'Archive', messages: 0, uidNext: 1 });
    expect((await account.names()).filter((name) => name.startsWith('a'))).toEqual(['a', 'a/b', 'a/b/c']);
    expect((await account.mailbox('a/b')).specialUse).toBeNull();
    expect((await account.create('inbox/x')).name).toBe('INBOX/x');
  });

  test('are listed by name, in the order of bytes', async () => {
    const account = await TestAccount.create(under());
    for (const name of ['ä', 'b', 'B', 'a', '\u{1f600}', '\uff21']) await account.create(name);
    const names = (await account.names()).filter((name) => !initialNames.includes(name));
    expect(names).toEqual(['B', 'a', 'b', 'ä', '\uff21', '\u{1f600}']);
  });

  test('refuses names that are taken or wrong', async () => {
    const account = await TestAccount.create(under());
    await account.create('Work');
    expect(await faultOf(account.create('Work'))).toEqual({ kind: 'mailbox-exists', name: 'Work' });
    expect((await faultOf(account.create('inbox'))).kind).toBe('mailbox-exists');
    for (const name of ['', '/a', 'a//b', 'a*', 'a%', 'a\u0000b', 'x'.repeat(1001)]) {
      expect((await faultOf(account.create(name))).kind).toBe('bad-mailbox-name');
    }
    expect(await account.names()).toEqual([...initialNames, 'Work'].toSorted());
  });

  test('the same name created twice at once is made once', async () => {
    const account = await TestAccount.create(under());
    const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => account.create('same/name')));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect((await account.names()).filter((name) => name.startsWith('same'))).toEqual(['same', 'same/name']);
  });

  test('an account has room for so many and no more', async () => {
    const account = await TestAccount.create(under());
    // Each call makes all of its levels.
    const levels = (first: string, count: number): string =>
      [first, ...Array.from({ length: count - 1 }, () => 'x')].join('/');
    let room = maxMailboxes - initialNames.length;
    for (let i = 0; room >= maxMailboxLevels; i++, room -= maxMailboxLevels) {
      await account.create(levels(`n${i}`, maxMailboxLevels));
    }
    expect((await faultOf(account.create(levels('over', room + 1)))).kind).toBe('limit');
    await account.create(levels('full', room));
    expect((await faultOf(account.create('one-more'))).kind).toBe('limit');
    expect(await account.names()).toHaveLength(maxMailboxes);
  });
}

function deleteContract(under: () => StoreUnderTest): void {
  test('removes the mailbox with its messages and frees their room', async () => {
    const account = await TestAccount.create(under());
    const work = await account.create('Work');
    await account.append(3, { mailboxId: work.id });
    await account.store.deleteMailbox(account.id, work.id);
    expect(await account.store.findMailbox(account.id, 'Work')).toBeNull();
    expect(await account.store.readState(account.id, work.id, work.highestModSeq)).toBeNull();
    expect((await faultOf(account.fetch({ flags: true }, undefined, work.id))).kind).toBe('no-such-mailbox');
    expect((await account.store.quota(account.id)).usedBytes).toBe(0);
  });

  test('a mailbox made again under an old name has a higher UIDVALIDITY', async () => {
    const account = await TestAccount.create(under());
    let last = 0;
    for (let i = 0; i < 3; i++) {
      const made = await account.create('Work');
      expect(made.uidValidity).toBeGreaterThan(last);
      last = made.uidValidity;
      await account.store.deleteMailbox(account.id, made.id);
    }
  });

  test('refuses INBOX, one with levels below, and one that is not there', async () => {
    const account = await TestAccount.create(under());
    const stranger = await TestAccount.create(under());
    await account.create('a/b');
    const above = await account.mailbox('a');
    expect((await faultOf(account.store.deleteMailbox(account.id, account.inboxId))).kind).toBe('not-permitted');
    expect(await faultOf(account.store.deleteMailbox(account.id, above.id))).toEqual({
      kind: 'mailbox-has-children',
      name: 'a',
    });
    for (const id of [unknownMailbox, stranger.inboxId, (await stranger.mailbox('Sent')).id]) {
      expect((await faultOf(account.store.deleteMailbox(account.id, id))).kind).toBe('no-such-mailbox');
    }
    expect(await account.names()).toEqual([...initialNames, 'a', 'a/b'].toSorted());
    expect(await stranger.names()).toEqual(initialNames);
  });
}

function renameContract(under: () => StoreUnderTest): void {
  test('takes the levels below along, and the messages', async () => {
    const account = await TestAccount.create(under());
    const low = await account.create('old/below/deep');
    await account.create('older');
    const top = await account.mailbox('old');
    const raw = letter();
    await account.append(1, { raw, mailboxId: top.id });
    await account.append(2, { raw, mailboxId: low.id });
    await account.store.renameMailbox(account.id, top.id, 'made/new');
    expect(await account.names()).toEqual(
      [...initialNames, 'made', 'made/new', 'made/new/below', 'made/new/below/deep', 'older'].toSorted(),
    );
    expect(await account.bodies((await account.mailbox('made/new')).id)).toEqual([raw]);
    expect(await account.bodies((await account.mailbox('made/new/below/deep')).id)).toEqual([raw, raw]);
  });

  test('keeps the special use', async () => {
    const account = await TestAccount.create(under());
    await account.store.renameMailbox(account.id, (await account.mailbox('Sent')).id, 'Gesendet');
    expect((await account.mailbox('Gesendet')).specialUse).toBe('Sent');
  });

  test('to a name that another mailbox had gives a UIDVALIDITY above the other’s', async () => {
    const account = await TestAccount.create(under());
    const first = await account.create('first');
    const second = await account.create('second');
    await account.store.deleteMailbox(account.id, second.id);
    await account.store.renameMailbox(account.id, first.id, 'second');
    expect((await account.mailbox('second')).uidValidity).toBeGreaterThan(second.uidValidity);
    // And a new one of the name that became free has one above the renamed mailbox's old one.
    expect((await account.create('first')).uidValidity).toBeGreaterThan(first.uidValidity);
  });

  test('INBOX gives its messages to the new mailbox and stays, empty', async () => {
    const account = await TestAccount.create(under());
    await account.create('INBOX/below');
    const raw = letter();
    await account.append(2, { raw, flags: flagBits.seen, keywords: ['Work'] });
    await account.deliver({ raw });
    const before = await account.state();
    const kept = await account.fetch({ emailId: true, internalDate: true });
    await account.store.renameMailbox(account.id, account.inboxId, 'old/mail');
    const moved = await account.mailbox('old/mail');
    expect(moved).toMatchObject({ messages: 3, unseen: 1, specialUse: null, sizeBytes: raw.length * 3 });
    expect(messagesOf(await account.state(moved.id)).map(({ flags, keywords }) => ({ flags, keywords }))).toEqual([
      { flags: flagBits.seen, keywords: ['Work'] },
      { flags: flagBits.seen, keywords: ['Work'] },
      { flags: 0, keywords: [] },
    ]);
    const fetched = await account.fetch({ emailId: true, internalDate: true }, undefined, moved.id);
    expect(fetched.map(({ emailId, internalDate }) => [emailId, internalDate])).toEqual(
      kept.map(({ emailId, internalDate }) => [emailId, internalDate]),
    );
    const inbox = await account.mailbox('INBOX');
    expect(inbox.id).toBe(account.inboxId);
    expect(inbox).toMatchObject({ messages: 0, unseen: 0, sizeBytes: 0 });
    expect(inbox.uidNext).toBeGreaterThanOrEqual(before.mailbox.uidNext);
    expect(inbox.uidValidity).toBeGreaterThanOrEqual(before.mailbox.uidValidity);
    expect(inbox.highestModSeq).toBeGreaterThan(before.mailbox.highestModSeq);
    // A session that had INBOX selected learns that its page is empty now.
    const diff = await account.state(account.inboxId, before.mailbox.highestModSeq);
    expect(diff.pages.map(({ page }) => page)).toEqual([0]);
    expect(messagesOf(diff)).toEqual([]);
    expect(await account.names()).toContain('INBOX/below');
    expect((await account.store.quota(account.id)).usedBytes).toBe(raw.length * 3);
  });

  test('refuses names that are taken, wrong or below itself', async () => {
    const account = await TestAccount.create(under());
    const work = await account.create('Work');
    await account.create('Work/x');
    const rename = (to: string) => faultOf(account.store.renameMailbox(account.id, work.id, to));
    expect((await rename('Sent')).kind).toBe('mailbox-exists');
    expect((await rename('Work')).kind).toBe('mailbox-exists');
    expect((await rename('Inbox')).kind).toBe('mailbox-exists');
    expect((await rename('a//b')).kind).toBe('bad-mailbox-name');
    expect((await rename('Work/y')).kind).toBe('not-permitted');
    // The level below would get a name that is too long.
    expect((await rename('w'.repeat(999))).kind).toBe('bad-mailbox-name');
    expect((await faultOf(account.store.renameMailbox(account.id, unknownMailbox, 'new'))).kind).toBe(
      'no-such-mailbox',
    );
    const onInbox = account.store.renameMailbox(account.id, account.inboxId, 'Sent');
    expect((await faultOf(onInbox)).kind).toBe('mailbox-exists');
    expect(await account.names()).toEqual([...initialNames, 'Work', 'Work/x'].toSorted());
  });
}

function subscriptionContract(under: () => StoreUnderTest): void {
  const list = (account: TestAccount) => account.store.listSubscriptions(account.id);

  test('a new account is subscribed to its initial mailboxes', async () => {
    expect(await list(await TestAccount.create(under()))).toEqual(initialNames);
  });

  test('are kept by name, also when the mailbox goes', async () => {
    const account = await TestAccount.create(under());
    const work = await account.create('Work');
    expect(await list(account)).toEqual(initialNames);
    await account.store.setSubscribed(account.id, 'Work', true);
    await account.store.setSubscribed(account.id, 'Work', true);
    expect(await list(account)).toEqual([...initialNames, 'Work'].toSorted());
    await account.store.deleteMailbox(account.id, work.id);
    expect(await list(account)).toEqual([...initialNames, 'Work'].toSorted());
    await account.store.setSubscribed(account.id, 'Work', false);
    await account.store.setSubscribed(account.id, 'Work', false);
    expect(await list(account)).toEqual(initialNames);
  });

  test('INBOX is one name in any case', async () => {
    const account = await TestAccount.create(under());
    await account.store.setSubscribed(account.id, 'inbox', false);
    expect(await list(account)).not.toContain('INBOX');
    await account.store.setSubscribed(account.id, 'inbox', true);
    expect(await list(account)).toEqual(initialNames);
  });

  test('are each account’s own', async () => {
    const account = await TestAccount.create(under());
    const other = await TestAccount.create(under());
    await account.store.setSubscribed(account.id, 'Sent', false);
    expect(await list(other)).toEqual(initialNames);
  });
}
