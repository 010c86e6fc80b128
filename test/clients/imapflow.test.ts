import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ImapFlow } from 'imapflow';
import { createTransport } from 'nodemailer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startService, type Service } from '../harness/service.ts';

describe('imapflow and nodemailer', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service[Symbol.asyncDispose]());

  async function connect(): Promise<ImapFlow> {
    const { address, password } = service.users.alice;
    const client = new ImapFlow({
      host: 'localhost',
      port: service.ports.imapTls,
      secure: true,
      auth: { user: address, pass: password },
      tls: { ca: readFileSync(service.certificateFile) },
      logger: false,
    });
    await client.connect();
    return client;
  }

  function send(subject: string) {
    const transport = createTransport({
      host: 'localhost',
      port: service.ports.submissionTls,
      secure: true,
      auth: { user: service.users.bob.address, pass: service.users.bob.password },
      tls: { ca: readFileSync(service.certificateFile) },
    });
    return transport.sendMail({
      from: service.users.bob.address,
      to: service.users.alice.address,
      subject,
      text: 'hi',
      html: '<p>hi',
    });
  }

  test('hears of a new message while idle, fetches its parts, flags, moves and searches it', async () => {
    const client = await connect();
    const lock = await client.getMailboxLock('INBOX');
    try {
      const heard = new Promise<number>((resolve) => {
        client.on('exists', ({ count }) => resolve(count));
      });
      const idling = client.idle();
      await sleep(200);
      await send('for imapflow');
      expect(await heard).toBe(1);
      await client.noop();
      await idling;
      const message = await client.fetchOne('1', {
        envelope: true,
        bodyStructure: true,
        source: true,
        flags: true,
        uid: true,
      });
      if (!message) throw new Error('no message');
      expect(message.envelope?.subject).toBe('for imapflow');
      expect(message.bodyStructure?.childNodes?.map((node) => node.type)).toEqual(['text/plain', 'text/html']);
      expect(message.source?.toString()).toContain('Subject: for imapflow');
      const { content } = await client.download('1', '2', {});
      const chunks: Buffer[] = [];
      for await (const chunk of content as AsyncIterable<Buffer>) chunks.push(chunk);
      expect(Buffer.concat(chunks).toString()).toContain('<p>hi');
      expect(await client.messageFlagsAdd('1', ['\\Flagged', 'Later'])).toBe(true);
      expect(await client.search({ flagged: true })).toEqual([1]);
      expect(await client.search({ keyword: 'Later' })).toEqual([1]);
      const moved = await client.messageMove('1', 'Archive');
      expect(moved && moved.uidMap?.size).toBe(1);
      expect(await client.search({ all: true })).toEqual([]);
    } finally {
      lock.release();
      await client.logout();
    }
  });

  test('lists the initial mailboxes with their special uses, and status', async () => {
    const client = await connect();
    const list = await client.list({ statusQuery: { messages: true, uidNext: true, uidValidity: true, unseen: true } });
    const uses = Object.fromEntries(list.map((box) => [box.path, box.specialUse]));
    expect(uses).toEqual({
      INBOX: '\\Inbox',
      Sent: '\\Sent',
      Drafts: '\\Drafts',
      Trash: '\\Trash',
      Spam: '\\Junk',
      Archive: '\\Archive',
    });
    expect(list.find((box) => box.path === 'Archive')?.status).toMatchObject({ messages: 1, uidNext: 2 });
    await client.logout();
  });
});
