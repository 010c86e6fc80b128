import { expect, test } from 'vitest';
import { Port25 } from './port-25.ts';

const peer = (n: number, port = 25) => ({ address: `192.0.2.${n}`, port });
const create = () => new Port25((address) => address.startsWith('192.0.2.'));

test('three different hosts that are silent, and none that answers: it is blocked', () => {
  const port25 = create();
  for (const n of [1, 2, 2, 2]) port25.failed(peer(n));
  expect(port25.verdict).toBe('unknown');
  port25.failed(peer(3));
  expect(port25.verdict).toBe('blocked');
  port25.connected(peer(4));
  expect(port25.verdict).toBe('open');
});

test('after one that answered, a few silent ones mean nothing', () => {
  const port25 = create();
  port25.connected(peer(1));
  for (let n = 2; n < 101; n++) port25.failed(peer(n));
  expect(port25.verdict).toBe('open');
  port25.failed(peer(101));
  expect(port25.verdict).toBe('blocked');
});

test('other ports, sockets and neighbours say nothing', () => {
  const port25 = create();
  for (const n of [1, 2, 3]) port25.failed(peer(n, 587));
  for (const n of [1, 2, 3]) port25.failed({ address: `10.0.0.${n}`, port: 25 });
  port25.failed({ path: '/run/lmtp' });
  port25.connected({ address: '10.0.0.9', port: 25 });
  expect(port25.verdict).toBe('unknown');
});
