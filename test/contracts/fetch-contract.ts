import { expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import type { FetchWants } from '#server/mail/ports.ts';
import { uidSet, uidSetOf } from '#server/mail/uid-set.ts';
import { spooled } from '../harness/message.ts';
import {
  bytesOf,
  everyUid,
  faultOf,
  letter,
  messagesOf,
  TestAccount,
  unknownMailbox,
  type StoreUnderTest,
} from './store-under-test.ts';

const multipart = [
  'From: Ann <ann@example.org>',
  'Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= and raw \xe4',
  'MIME-Version: 1.0',
  'Content-Type: multipart/mixed; boundary=b',
  '',
  '--b',
  'Content-Type: text/plain; charset=utf-8',
  '',
  'text',
  '--b',
  'Content-Type: message/rfc822',
  '',
  'Subject: inside',
  '',
  'inner text',
  '--b--',
  '',
].join('\r\n');

export function fetchContract(under: () => StoreUnderTest): void {
  test('gives what was wanted, and only that', async () => {
    const account = await TestAccount.create(under());
    await account.append(1, { raw: Buffer.from(multipart, 'latin1'), flags: flagBits.seen, keywords: ['Work'] });
    const single: readonly (readonly [FetchWants, readonly string[]])[] = [
      [{}, []],
      [{ flags: true }, ['flags', 'keywords', 'modSeq']],
      [{ emailId: true }, ['emailId']],
      [{ flags: true, size: true }, ['flags', 'keywords', 'modSeq', 'size']],
      [{ internalDate: true }, ['internalDate']],
      [{ size: true }, ['size']],
      [{ envelope: true }, ['envelope']],
      [{ bodystructure: true }, ['bodystructure']],
      [{ headerFields: ['Subject'] }, ['headerFields']],
      [{ content: true }, ['content']],
      [{ size: true, envelope: true, flags: false }, ['envelope', 'size']],
    ];
    for (const [wants, keys] of single) {
      const [message] = await account.fetch(wants);
      expect(Object.keys(message ?? {}).sort()).toEqual([...keys, 'uid'].toSorted());
    }
  });

  test('envelope, structure and parts are those of the index', async () => {
    const account = await TestAccount.create(under());
    const raw = Buffer.from(multipart, 'latin1');
    await using message = await spooled(raw);
    await account.deliver({ raw });
    const wants = { flags: true, internalDate: true, size: true, envelope: true, bodystructure: true, content: true };
    const [fetched] = await account.fetch(wants);
    expect(fetched).toMatchObject({
      uid: 1,
      flags: 0,
      keywords: [],
      size: raw.length,
      envelope: message.index.envelope,
      bodystructure: message.index.bodystructure,
    });
    expect(fetched?.content?.root).toEqual(message.index.root);
    const inner = fetched?.content?.root.children[1]?.children[0];
    const text = fetched?.content && inner && (await bytesOf(fetched.content, inner.bodyStart, inner.end));
    expect(text?.toString()).toBe('inner text');
  });

  test('fields of the header, those that the delivery put before it too', async () => {
    const account = await TestAccount.create(under());
    await using message = await spooled(Buffer.from(multipart, 'latin1'));
    const prefix = Buffer.from('Return-Path: <a@b>\r\nDelivered-To: ann@example.org\r\n');
    await account.store.deliver(message, [{ accountId: account.id, mailboxId: null, prefix, flags: 0, keywords: [] }]);
    const long = `X-Long: ${'y'.repeat(60)}\r\n`.repeat(1000);
    await account.append(1, { raw: letter().replace('Subject:', `${long}Subject:`) });
    await account.append(1, { raw: `Subject: large\r\n\r\n${'z'.repeat(1_200_000)}` });
    await account.append(1, { raw: 'Subject: no body, no empty line' });
    const fetched = await account.fetch({ headerFields: ['SUBJECT', 'delivered-to'] });
    expect(fetched.map(({ headerFields }) => headerFields)).toEqual([
      'Delivered-To: ann@example.org\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= and raw \xe4\r\n\r\n',
      'Subject: hello\r\n\r\n',
      'Subject: large\r\n\r\n',
      'Subject: no body, no empty line',
    ]);
    expect((await account.fetch({ headerFields: ['nothing'] })).map(({ headerFields }) => headerFields)).toEqual([
      '\r\n',
      '\r\n',
      '\r\n',
      '',
    ]);
  });

  test('of many messages again and again what they are one by one', async () => {
    const account = await TestAccount.create(under());
    const wants = {
      flags: true,
      internalDate: true,
      size: true,
      envelope: true,
      bodystructure: true,
      headerFields: ['From', 'Subject', 'X-Nul'],
    };
    for (let n = 0; n < 7; n++) {
      const raw = letter(`caf\xe9 ${n}`).replace('To:', `X-Nul: \0${n}\r\nTo:`);
      await account.append(100, { raw, internalDate: new Date(1_700_000_000_000 + n * 86_400_000) });
    }
    const check = async (): Promise<void> => {
      const uids = await account.uids();
      for (const only of [{ envelope: true }, wants, { headerFields: ['subject', 'from', 'x-nul'] }, wants]) {
        const fetched = await account.fetch(only);
        expect(fetched.map(({ uid }) => uid)).toEqual(uids);
        for (let i = 0; i < uids.length; i += 37) {
          expect([fetched[i]]).toEqual(await account.fetch(only, uidSetOf([uids[i] ?? 0])));
        }
      }
    };
    await check();
    await account.change(uidSet([[250, 260]]), { flags: flagBits.deleted, keywords: ['Work'] });
    await check();
    await account.store.expunge(account.id, account.inboxId, uidSet([[255, 258]]));
    await account.append(300, { raw: letter('later') });
    await check();
    expect(await account.fetch({ size: true, envelope: true }, uidSet([[254, 800]]))).toEqual(
      (await account.fetch({ envelope: true, size: true })).filter(({ uid }) => uid >= 254 && uid <= 800),
    );
  });

  test('flags are those of the pages', async () => {
    const account = await TestAccount.create(under());
    await account.append(3, { keywords: ['A'] });
    await account.change(uidSetOf([2]), { flags: flagBits.seen, keywords: ['B'] });
    const fetched = await account.fetch({ flags: true });
    const seen = fetched.map(({ uid, flags, keywords, modSeq }) => ({
      uid,
      flags,
      keywords: keywords?.toSorted(),
      modSeq,
    }));
    expect(seen).toEqual(messagesOf(await account.state()));
  });

  test('in ascending order, in batches of bounded size', async () => {
    const account = await TestAccount.create(under());
    await account.append(2500);
    for (const wants of [{ size: true }, { flags: true }, { envelope: true, content: true }]) {
      const uids: number[] = [];
      for await (const batch of account.store.fetch(account.id, account.inboxId, everyUid, wants)) {
        expect(batch.length).toBeGreaterThan(0);
        expect(batch.length).toBeLessThanOrEqual(1000);
        uids.push(...batch.map(({ uid }) => uid));
      }
      expect(uids).toEqual(Array.from({ length: 2500 }, (_, i) => i + 1));
    }
  });

  test('passes over messages that are not there', async () => {
    const account = await TestAccount.create(under());
    await account.append(600, { flags: flagBits.deleted });
    await account.store.expunge(account.id, account.inboxId, uidSet([[100, 400]]));
    const uids = (
      await account.fetch(
        { size: true },
        uidSet([
          [98, 102],
          [399, 402],
          [599, 4_000_000_000],
        ]),
      )
    ).map(({ uid }) => uid);
    expect(uids).toEqual([98, 99, 401, 402, 599, 600]);
    expect(await account.fetch({ size: true }, [])).toEqual([]);
  });

  test('may be given up in the middle', async () => {
    const account = await TestAccount.create(under());
    await account.append(1500);
    for (let i = 0; i < 30; i++) {
      for await (const batch of account.store.fetch(account.id, account.inboxId, everyUid, { content: true })) {
        expect(batch[0]?.uid).toBe(1);
        break;
      }
    }
    expect(await account.uids()).toHaveLength(1500);
  });

  test('a reader may write meanwhile: no lock is held', async () => {
    const account = await TestAccount.create(under());
    await account.append(1200);
    let changes = 0;
    for await (const batch of account.store.fetch(account.id, account.inboxId, everyUid, { size: true })) {
      await account.change(uidSetOf([batch[0]?.uid ?? 0]), { flags: flagBits.seen });
      changes++;
    }
    expect((await account.mailbox('INBOX')).unseen).toBe(1200 - changes);
  });

  test('ranges of the bytes', async () => {
    const account = await TestAccount.create(under());
    const raw = letter('ranges', 'abcdefghij'.repeat(50_000));
    await account.append(1, { raw });
    const [fetched] = await account.fetch({ content: true });
    if (!fetched?.content) throw new Error('no content');
    for (const [start, end] of [
      [0, 0],
      [0, 1],
      [5, 400_000],
      [raw.length, raw.length],
      [raw.length - 1, raw.length],
    ] as const) {
      expect((await bytesOf(fetched.content, start, end)).toString('latin1') === raw.slice(start, end)).toBe(true);
    }
    for await (const chunk of fetched.content.read(0, raw.length))
      expect(chunk.length).toBeLessThanOrEqual(1024 * 1024);
  });

  test('refuses a mailbox that is not there or not the account’s', async () => {
    const account = await TestAccount.create(under());
    const stranger = await TestAccount.create(under());
    await stranger.append(1);
    for (const id of [unknownMailbox, stranger.inboxId]) {
      expect((await faultOf(account.fetch({ size: true }, everyUid, id))).kind).toBe('no-such-mailbox');
    }
  });
}
