import { expect, test } from 'vitest';
import type { AccountId } from '#shared/base/ids.ts';
import type { Delivery, MailStore, SpooledMessage } from '#server/mail/ports.ts';
import { deliverMessage } from './deliver-message.ts';

const facts = {
  helo: 'client.example',
  remoteAddress: '192.0.2.7',
  hostname: 'mx.home.test',
  protocol: 'ESMTP',
  tls: null,
  id: 'abc',
  receivedAt: new Date(0),
  sender: 'ann@sender.test',
  recipients: ['team@home.test', 'alice@home.test'],
} as const;

test('an account gets a message once however many addresses lead to it, with its own address in Delivered-To', async () => {
  const deliveries: Delivery[] = [];
  const store = {
    async deliver(_message: SpooledMessage, given: readonly Delivery[]) {
      deliveries.push(...given);
      return [];
    },
  } as unknown as MailStore;
  const [alice, bob] = [1n as AccountId, 2n as AccountId];
  await deliverMessage(
    store,
    {} as SpooledMessage,
    [
      { accountId: alice, address: 'alice@home.test' },
      { accountId: bob, address: 'bob@home.test' },
      { accountId: alice, address: 'alice@home.test' },
    ],
    facts,
  );
  expect(deliveries.map(({ accountId, mailboxId }) => [accountId, mailboxId])).toEqual([
    [alice, null],
    [bob, null],
  ]);
  expect(deliveries.map(({ prefix }) => /Delivered-To: (.*)\r\n/.exec(prefix.toString())?.[1])).toEqual([
    'alice@home.test',
    'bob@home.test',
  ]);
});
