import { expect, test } from 'vitest';
import { ObjectStore } from './object-store.ts';

function object(name: string, uid: string, resourceVersion = '1') {
  const metadata = { namespace: 'n', name, uid, resourceVersion, creationTimestamp: '2026-01-01T00:00:00Z' };
  return { apiVersion: 'v1', kind: 'Thing', metadata };
}

test('what a new list lacks is told as deleted, and that nobody saw it', () => {
  const store = new ObjectStore<ReturnType<typeof object>>();
  const [a, b] = [object('a', '1'), object('b', '2')];
  for (const each of [a, b]) store.put(each);
  expect([...store.replace([b])].flat()).toEqual([{ kind: 'deleted', object: a, isInferred: true }]);
  expect(store.remove(b)).toEqual([{ kind: 'deleted', object: b }]);
  expect(store.size).toBe(0);
});

test('another object of the name in a new list is one that went and one that came', () => {
  const store = new ObjectStore<ReturnType<typeof object>>();
  const [old, made] = [object('a', '1'), object('a', '2')];
  store.put(old);
  expect([...store.replace([made])].flat()).toEqual([
    { kind: 'deleted', object: old, isInferred: true },
    { kind: 'added', object: made },
  ]);
  expect(store.items()).toEqual([made]);
});
