import { expect, test } from 'vitest';
import type { OwnObject } from '#operator/foundation/resource-caches.ts';
import { KubeError } from '#operator/kube/kube-error.ts';
import { releaseFinalizer } from './finalizers.ts';

const ours = 'postrider.dev/directory';
type Metadata = OwnObject['metadata'];

function mailbox(metadata: Partial<Metadata>): OwnObject {
  const usual = { namespace: 'mail', name: 'a', uid: 'one', resourceVersion: '1', generation: 1 };
  return {
    apiVersion: 'postrider.dev/v1alpha1',
    kind: 'Mailbox',
    metadata: { ...usual, ...metadata },
    spec: { address: 'a@example.test' },
  } as OwnObject;
}

/** An API server that has one object, or none; null in `objects` is the time after it is gone. */
function serverWith(...objects: readonly (OwnObject | null)[]) {
  const left = [...objects];
  const written: unknown[] = [];
  let reads = 0;
  const now = (): OwnObject => {
    const [object] = left;
    if (!object) throw new KubeError({ status: 404, reason: 'NotFound', message: 'gone' });
    return object;
  };
  const client = {
    get() {
      reads += 1;
      return Promise.resolve(now());
    },
    patchMerge(_type: unknown, _at: unknown, patch: unknown, { resourceVersion }: { resourceVersion?: string }) {
      if (resourceVersion !== now().metadata.resourceVersion) {
        // Whoever was quicker may be once more.
        if (left.length > 1) left.shift();
        return Promise.reject(new KubeError({ status: 409, reason: 'Conflict', message: 'another version' }));
      }
      written.push(patch);
      return Promise.resolve(now());
    },
  };
  return { client: client as unknown as Parameters<typeof releaseFinalizer>[0], written, reads: () => reads };
}

test('a version that is no longer the last is read anew, and what others added stays', async () => {
  const { client, written } = serverWith(
    mailbox({ resourceVersion: '2', finalizers: [ours] }),
    mailbox({ resourceVersion: '3', finalizers: [ours, 'others/mine'] }),
  );
  await releaseFinalizer(client, mailbox({ finalizers: [ours] }));
  expect(written).toEqual([{ metadata: { finalizers: ['others/mine'] } }]);
});

test('an object that is gone, or another of the name, is left alone', async () => {
  for (const there of [null, mailbox({ uid: 'two', resourceVersion: '9', finalizers: [ours] })]) {
    const { client, written } = serverWith(mailbox({ resourceVersion: '2', finalizers: [ours] }), there);
    await releaseFinalizer(client, mailbox({ finalizers: [ours] }));
    expect(written).toEqual([]);
  }
});

test('one that changes again and again is given up until the next comparison', async () => {
  const always = Array.from({ length: 20 }, (_, i) => mailbox({ resourceVersion: `${i + 2}`, finalizers: [ours] }));
  // Each answer is old already when it arrives.
  const { client, written, reads } = serverWith(...always);
  const racing = {
    ...client,
    get: async (...args: Parameters<typeof client.get>) => {
      const object = await client.get(...args);
      return { ...object, metadata: { ...object.metadata, resourceVersion: 'old' } };
    },
  } as typeof client;
  await releaseFinalizer(racing, mailbox({ finalizers: [ours] }));
  expect(written).toEqual([]);
  expect(reads()).toBe(4);
});
