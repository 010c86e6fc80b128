import { expect, test } from 'vitest';
import type { KubeObject } from './resource.ts';
import { SharedValues } from './shared-values.ts';

type Box = KubeObject & {
  readonly spec: { readonly limits: object; readonly aliases: readonly string[] };
  readonly status: { readonly conditions: readonly object[] };
};

function box(name: string, reason: string): Box {
  return {
    apiVersion: 'v1',
    kind: 'Box',
    metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z', labels: { a: 'b' } },
    spec: { limits: {}, aliases: [name] },
    status: { conditions: [{ type: 'Accepted', reason }] },
  };
}

test('what is alike is one, and every object says what it said', () => {
  const shared = new SharedValues();
  const one = shared.share(box('one', 'Accepted'));
  const other = shared.share(box('other', 'Accepted'));
  const bad = shared.share(box('bad', 'InvalidSpec'));
  expect([one, other, bad]).toEqual([box('one', 'Accepted'), box('other', 'Accepted'), box('bad', 'InvalidSpec')]);
  expect(other.status.conditions[0]).toBe(one.status.conditions[0]);
  expect(bad.status.conditions[0]).not.toBe(one.status.conditions[0]);
  expect(other.spec.limits).toBe(one.spec.limits);
  expect(other.metadata.labels).toBe(one.metadata.labels);
});

test('many different values are forgotten, not mixed up', () => {
  const shared = new SharedValues();
  for (let i = 0; i < 3_000; i++) {
    const name = `box${i}`;
    expect(shared.share(box(name, `Reason${i}`))).toEqual(box(name, `Reason${i}`));
  }
});

test('an object without spec and status, such as a Secret, keeps its values', () => {
  const secret = { ...box('one', ''), spec: undefined, status: undefined, data: { password: 'eA==' } };
  expect(new SharedValues().share(structuredClone(secret))).toEqual(secret);
});
