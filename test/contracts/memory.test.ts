import { MemoryMailStore } from '#server/store/memory-mail-store.ts';
import { mailStoreContract } from './mail-store-contract.ts';

mailStoreContract('in memory', () => {
  const store = new MemoryMailStore();
  return Promise.resolve({
    store,
    feed: store.feed,
    createAccount: ({ limitBytes }) => Promise.resolve(store.createAccount(limitBytes)),
    countBlobs: () => Promise.resolve(store.blobCount),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});
