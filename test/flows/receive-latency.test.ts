import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { LineClient } from '../harness/line-client.ts';
import { startService } from '../harness/service.ts';

const messagesPerSecond = 50;
const seconds = 4;
const sessions = 5;
/** About 4 KB, with the final dot. */
const message = `Subject: timed\r\n\r\n${'A line of a usual length, as people write them.\r\n'.repeat(80)}.`;

test('the final dot is answered within 300 ms (p99) at 50 messages a second', { timeout: 120_000 }, async () => {
  await using service = await startService();
  const rounds: number[] = [];
  // The machine may have something else to do in one round, not in all three.
  while (rounds.length < 3 && !rounds.some((p99) => p99 < 300)) {
    const took = await Promise.all(Array.from({ length: sessions }, () => session(service.ports.smtp)));
    const all = took.flat().sort((a, b) => a - b);
    rounds.push(all[Math.floor(all.length * 0.99)] ?? Infinity);
  }
  expect(Math.min(...rounds)).toBeLessThan(300);
});

/** Milliseconds from the final dot to the 250, of each message of one session that sends at its share of the rate. */
async function session(port: number): Promise<readonly number[]> {
  await using client = await LineClient.connect(port);
  await client.line(/^220 /);
  await client.ask('EHLO sender.test', /^250 /);
  const took: number[] = [];
  const pause = (1000 * sessions) / messagesPerSecond;
  for (let n = 0; n < (messagesPerSecond * seconds) / sessions; n++) {
    await client.ask('MAIL FROM:<timed@sender.test>', /^250 /);
    await client.ask('RCPT TO:<alice@example.test>', /^250 /);
    await client.ask('DATA', /^354 /);
    const startedAt = performance.now();
    await client.ask(message, /^250 /);
    const elapsed = performance.now() - startedAt;
    took.push(elapsed);
    await sleep(Math.max(0, pause - elapsed));
  }
  return took;
}
