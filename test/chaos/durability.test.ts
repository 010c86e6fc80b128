import { describe, expect, test } from 'vitest';
import { lacks } from '../harness/programs.ts';
import { gatherEvidence } from './durability.ts';
import { canTrace } from './trace-syncs.ts';

const timeout = 120_000;

describe('250 comes after the commit is on disk', () => {
  test('one session, one message at a time: a commit and a sync of the log for each 250', { timeout }, async () => {
    const { accepted, commits, walSyncs, early } = await gatherEvidence({ sessions: 1, messages: 60 });
    expect(accepted).toBe(60);
    expect(commits).toBeGreaterThanOrEqual(accepted);
    expect(walSyncs).toBeGreaterThanOrEqual(accepted);
    expect(early).toEqual([]);
  });

  test('fifty sessions: each 250 of a batch after the sync of its commit', { timeout }, async () => {
    const { accepted, early, walSyncs } = await gatherEvidence({ sessions: 50, messages: 400 });
    expect(accepted).toBe(400);
    expect(walSyncs).toBeGreaterThan(0);
    expect(early).toEqual([]);
  });

  test.skipIf(lacks('strace') || !canTrace())(
    'the kernel sees a sync for each 250 of one session',
    { timeout },
    async () => {
      const { accepted, systemCalls } = await gatherEvidence({ sessions: 1, messages: 40, trace: true });
      expect(accepted).toBe(40);
      expect(systemCalls).toBeGreaterThanOrEqual(accepted);
    },
  );
});

/** Were these not noticed, the tests above would prove nothing. */
describe('a Postgres that does not wait for the disk is found out', () => {
  test.each([1, 50])('synchronous_commit off, %i sessions', { timeout }, async (sessions) => {
    const settings = { synchronous_commit: 'off', wal_writer_delay: '10s' };
    const { accepted, walSyncs, early } = await gatherEvidence({ sessions, messages: 60, settings });
    expect(accepted).toBe(60);
    expect(early.length).toBeGreaterThan(0);
    expect(walSyncs).toBeLessThan(accepted);
  });

  test('fsync off', { timeout }, async () => {
    const { accepted, walSyncs } = await gatherEvidence({ sessions: 1, messages: 20, settings: { fsync: 'off' } });
    expect(accepted).toBe(20);
    expect(walSyncs).toBe(0);
  });
});
