import { expect, test } from 'vitest';
import { NetworkTurns } from './network-turns.ts';

/** Tasks that end when they are told to, in the order in which they began. */
function start(most: number) {
  const turns = new NetworkTurns(most);
  const begun: string[] = [];
  const running: (() => void)[] = [];
  return {
    begun,
    take: (address: string, name = address) =>
      turns.take(address, () => {
        begun.push(name);
        return new Promise<void>((resolve) => running.push(resolve));
      }),
    /** Ends the oldest one and lets the next begin. */
    end: async (): Promise<void> => {
      running.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

test('networks take turns: one that asks a lot waits for itself', async () => {
  const { take, end, begun } = start(1);
  for (let n = 1; n <= 4; n++) void take('192.0.2.66', `attack ${n}`);
  void take('192.0.2.1', 'alice');
  void take('192.0.2.2', 'bob');
  for (let n = 0; n < 6; n++) await end();
  expect(begun).toEqual(['attack 1', 'attack 2', 'alice', 'bob', 'attack 3', 'attack 4']);
});

test('an IPv6 /64 network is one', async () => {
  const { take, end, begun } = start(1);
  for (let n = 1; n <= 3; n++) void take(`2001:db8:0:1::${n}`, `attack ${n}`);
  void take('2001:db8:0:2::1', 'alice');
  for (let n = 0; n < 4; n++) await end();
  expect(begun).toEqual(['attack 1', 'attack 2', 'alice', 'attack 3']);
});

test('no more run at a time than may', async () => {
  const { take, end, begun } = start(2);
  for (let n = 0; n < 5; n++) void take('192.0.2.1');
  expect(begun).toHaveLength(2);
  await end();
  expect(begun).toHaveLength(3);
});

test('whose network has too many waiting is told to come later; others still wait', async () => {
  const { take, end, begun } = start(1);
  for (let n = 0; n < 501; n++) void take('192.0.2.66');
  await expect(take('192.0.2.66')).rejects.toMatchObject({ fault: { kind: 'unavailable' } });
  void take('192.0.2.1', 'alice');
  await end();
  await end();
  expect(begun).toContain('alice');
});

test('all together have a bound too, and it is free again later', async () => {
  const { take, end } = start(1);
  for (let n = 0; n < 20_001; n++) void take(`192.0.2.${n % 200}`);
  await expect(take('198.51.100.1')).rejects.toMatchObject({ fault: { kind: 'unavailable' } });
  await end();
  const later = take('198.51.100.1');
  await expect(Promise.race([later, Promise.resolve('waits')])).resolves.toBe('waits');
});

test('a task that fails gives its turn back', async () => {
  const turns = new NetworkTurns(1);
  await expect(turns.take('192.0.2.1', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  await expect(turns.take('192.0.2.1', () => Promise.resolve('next'))).resolves.toBe('next');
});
