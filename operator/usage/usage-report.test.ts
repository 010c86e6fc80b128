import { expect, test } from 'vitest';
import { composeStatus } from '#operator/status/compose-status.ts';
import type { ResourceStatus } from '#operator/status/condition.ts';
import { usageReport, type Usage } from './usage-report.ts';

const start = new Date('2026-01-01T00:00:00Z');
const after = (minutes: number): Date => new Date(start.getTime() + minutes * 60_000);
const mi = 1024n ** 2n;
const usage = (usedBytes: bigint, quotaBytes: bigint | null = 100n * mi, messages = 7): Usage => ({
  usedBytes,
  quotaBytes,
  messages,
});

/** A mailbox whose usage is looked at again and again; false: nothing was written. */
class Watched {
  status: ResourceStatus = {};

  look(now: Date, found: Usage, generation = 1): boolean {
    const report = usageReport({ usage: found, status: this.status, generation, now });
    if (report === null) return false;
    const next = composeStatus('Mailbox', this.status, [report], now);
    if (next === this.status) return false;
    this.status = next;
    return true;
  }

  get said(): string {
    const condition = this.status.conditions?.find(({ type }) => type === 'WithinQuota');
    return condition ? `${condition.status} ${condition.reason}` : 'nothing';
  }
}

test('an empty mailbox is nothing to tell of', () => {
  const box = new Watched();
  expect(box.look(start, usage(0n, 100n * mi, 0))).toBe(false);
});

test.each([
  [700n, '700'],
  [1_400n, '1408'],
  [1_449_000_000n, '1408Mi'],
  [1024n * mi, '1Gi'],
  [123n * mi, '120Mi'],
  [12n * 1024n * mi + 300n * mi, '12Gi'],
])('%d bytes are told as %s', (bytes, told) => {
  const box = new Watched();
  expect(box.look(start, usage(bytes, null))).toBe(true);
  expect(box.status['usage']).toEqual({ bytes: told, messages: 7, observedAt: '2026-01-01T00:00:00Z' });
  expect(box.said).toBe('nothing');
});

test('it is told anew when it is noticeably different, and not before ten minutes have gone', () => {
  const box = new Watched();
  expect(box.look(start, usage(20n * mi))).toBe(true);
  expect(box.look(after(5), usage(60n * mi))).toBe(false);
  expect(box.look(after(11), usage(21n * mi))).toBe(false);
  expect(box.look(after(11), usage(26n * mi))).toBe(true);
  expect(box.look(after(22), usage(26n * mi, 100n * mi, 9))).toBe(false);
  expect(box.look(after(22), usage(0n, 100n * mi, 0))).toBe(true);
  expect(box.status['usage']).toBeUndefined();
});

test('a full mailbox is told of at once; one that is near its quota is so until it clearly is not', () => {
  const box = new Watched();
  box.look(start, usage(89n * mi));
  expect(box.said).toBe('nothing');
  expect(box.look(after(1), usage(91n * mi))).toBe(true);
  expect(box.said).toBe('True NearQuota');
  expect(box.look(after(2), usage(88n * mi))).toBe(false);
  expect(box.look(after(3), usage(100n * mi))).toBe(true);
  expect(box.said).toBe('False OverQuota');
  expect(box.look(after(4), usage(99n * mi))).toBe(true);
  expect(box.said).toBe('True NearQuota');
  expect(box.look(after(5), usage(80n * mi))).toBe(true);
  expect(box.said).toBe('True WithinQuota');
  expect(box.look(after(6), usage(80n * mi))).toBe(false);
  // Of the present generation, once that is another.
  expect(box.look(after(7), usage(80n * mi), 2)).toBe(true);
  expect(box.look(after(8), usage(80n * mi, null), 2)).toBe(true);
  expect(box.said).toBe('nothing');
});
