import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AccountId } from '#shared/base/ids.ts';
import type { Clock } from '#shared/base/clock.ts';
import { createKeyring } from '#shared/directory/keyring.ts';
import { newLogId } from '#shared/observe/logger.ts';
import { parseAddress } from '#shared/text/address.ts';
import { createBounceAddresses } from './bounce-address.ts';

const keys = new Map([
  ['old', randomBytes(32)],
  ['new', randomBytes(32)],
]);
const day = 86_400_000;
const clockAt = (ms: number): Clock => ({ now: () => new Date(ms), monotonicMs: () => ms });
const at = Date.UTC(2026, 10, 21, 12);
const addresses = createBounceAddresses(createKeyring(keys, 'old'), clockAt(at));
const sent = {
  accountId: 17n as AccountId,
  domain: 'example.org',
  traceId: newLogId(),
  recipients: ['bob@example.com', 'carol@example.net'],
};

test('what is made is read again, in any case of letters', () => {
  const address = addresses.make(sent);
  expect(parseAddress(address)).not.toBeNull();
  for (const text of [address, address.toUpperCase()]) {
    const found = addresses.read(text);
    expect(found).toMatchObject({ accountId: 17n, domain: 'example.org', traceId: sent.traceId });
    expect(found?.wasSentTo('Bob@EXAMPLE.com')).toBe(true);
    expect(found?.wasSentTo('mallory@example.com')).toBe(false);
  }
});

test('any account and trace fit into a local part', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }),
      fc.uint8Array({ minLength: 9, maxLength: 9 }),
      (id, bytes) => {
        const traceId = Buffer.from(bytes).toString('base64url');
        const address = addresses.make({ ...sent, accountId: id as AccountId, traceId });
        expect(parseAddress(address)).not.toBeNull();
        expect(addresses.read(address)).toMatchObject({ accountId: id, traceId });
      },
    ),
  );
});

test('with many recipients nobody is held to be one', () => {
  const recipients = ['a@b.c', 'd@e.f', 'g@h.i'];
  const found = addresses.read(addresses.make({ ...sent, recipients }));
  expect(found?.wasSentTo('a@b.c')).toBeNull();
});

test('one that was changed in any place is not ours', () => {
  const address = addresses.make(sent);
  for (let place = 'bounce+'.length; place < address.length; place++) {
    const changed = address.slice(0, place) + (address[place] === 'a' ? 'b' : 'a') + address.slice(place + 1);
    expect(addresses.read(changed)).toBeNull();
  }
  for (const other of ['bounce+1-2-3-4-5@example.org', 'bounce@example.org', 'alice@example.org', '', '@']) {
    expect(addresses.read(other)).toBeNull();
  }
});

test('it holds for 14 days, and over a change of keys', () => {
  const address = addresses.make(sent);
  const later = (days: number) => createBounceAddresses(createKeyring(keys, 'new'), clockAt(at + days * day));
  expect(later(14).read(address)).not.toBeNull();
  expect(later(15).read(address)).toBeNull();
  const strangers = createBounceAddresses(createKeyring(new Map([['x', randomBytes(32)]]), 'x'), clockAt(at));
  expect(strangers.read(address)).toBeNull();
});
