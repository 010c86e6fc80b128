import { expect, test } from 'vitest';
import { ClientAddresses } from './client-addresses.ts';

function seen(addresses: readonly string[], times: number): ClientAddresses {
  const clients = new ClientAddresses();
  for (let i = 0; i < times; i++) clients.saw(addresses[i % addresses.length] ?? '');
  return clients;
}

test('few connections say nothing, nor does loopback', () => {
  expect(seen(['10.0.0.1'], 29).verdict).toBe('unknown');
  expect(seen(['127.0.0.1', '::1'], 1000).verdict).toBe('unknown');
});

test('everybody from one or two private addresses: something hides theirs', () => {
  expect(seen(['10.244.0.1'], 30).verdict).toBe('masked');
  expect(seen(['10.244.0.1', 'fd00::7'], 30).verdict).toBe('masked');
});

test('public addresses, or many private ones, are clients of their own', () => {
  expect(seen(['10.244.0.1', '192.0.2.1'], 30).verdict).toBe('preserved');
  expect(seen(['10.244.0.1', '10.244.0.2', '10.244.0.3'], 30).verdict).toBe('preserved');
  expect(seen(['198.51.100.9'], 30).verdict).toBe('preserved');
});

test('the last ones count', () => {
  const clients = seen(['198.51.100.9'], 500);
  for (let i = 0; i < 499; i++) clients.saw('10.244.0.1');
  expect(clients.verdict).toBe('preserved');
  clients.saw('10.244.0.1');
  expect(clients.verdict).toBe('masked');
});
