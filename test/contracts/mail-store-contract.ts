/** Every promise of server/mail/ports.ts, held against one implementation. */
import { afterAll, beforeAll, describe } from 'vitest';
import { appendContract } from './append-contract.ts';
import { copyContract } from './copy-contract.ts';
import { deliverContract } from './deliver-contract.ts';
import { expungeContract } from './expunge-contract.ts';
import { feedContract } from './feed-contract.ts';
import { fetchContract } from './fetch-contract.ts';
import { flagsContract } from './flags-contract.ts';
import { mailboxContract } from './mailbox-contract.ts';
import { searchContract } from './search-contract.ts';
import { stateContract } from './state-contract.ts';
import type { StoreUnderTest } from './store-under-test.ts';

/** `open` is called once; every test makes accounts of its own. */
export function mailStoreContract(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`the mail store ${name}`, () => {
    let opened: StoreUnderTest | null = null;
    const under = (): StoreUnderTest => {
      if (!opened) throw new Error('the store is not open');
      return opened;
    };
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened?.[Symbol.asyncDispose]());

    describe('deliver', () => {
      deliverContract(under);
    });
    describe('append', () => {
      appendContract(under);
    });
    describe('mailboxes', () => {
      mailboxContract(under);
    });
    describe('readState', () => {
      stateContract(under);
    });
    describe('fetch', () => {
      fetchContract(under);
    });
    describe('storeFlags', () => {
      flagsContract(under);
    });
    describe('copy and move', () => {
      copyContract(under);
    });
    describe('expunge', () => {
      expungeContract(under);
    });
    describe('search', () => {
      searchContract(under);
    });
    describe('the change feed', () => {
      feedContract(under);
    });
  });
}
