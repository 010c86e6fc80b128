import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import { Health } from '#shared/observe/health.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { drain, type Drainable } from './lifecycle.ts';

const options = { drainDelayMs: 0, graceMs: 1_000, clock: systemClock, logger: silentLogger };

test('a drain makes the server unready first, waits, then stops all listeners with what is left of the grace time', async () => {
  const health = new Health();
  const told: number[] = [];
  const listener = (name: string): Drainable => ({
    name,
    stop: (graceMs) => {
      told.push(graceMs);
      return Promise.resolve();
    },
  });
  const draining = drain({ ...options, health, drainDelayMs: 200, listeners: [listener('a'), listener('b')] });
  expect(health.report().state).toBe('stopping');
  expect(told).toEqual([]);
  await draining;
  expect(told).toHaveLength(2);
  for (const graceMs of told) expect(graceMs).toBeGreaterThan(100);
  for (const graceMs of told) expect(graceMs).toBeLessThanOrEqual(800);
});

test('one listener that fails to stop does not keep the others', async () => {
  let isStopped = false;
  const broken = { name: 'broken', stop: () => Promise.reject(new Error('no')) };
  const good = { name: 'good', stop: async () => void (isStopped = true) };
  await drain({ ...options, health: new Health(), listeners: [broken, good] });
  expect(isStopped).toBe(true);
});

/** Runs a program that has the handlers and then does `code`. */
async function run(code: string) {
  const program = `
    import { createLogger } from '#shared/observe/logger.ts';
    import { endOnUnexpectedErrors, endSoon } from '#server/lifecycle.ts';
    const logger = createLogger({ level: 'info', format: 'json' });
    endOnUnexpectedErrors(logger);
    ${code}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode, ...output };
}

test.each([
  ['an error that nobody caught', `setTimeout(() => { throw new Error('lost postgres://u:sesame@h/d'); }, 10);`],
  ['a rejection that nobody handled', `void Promise.reject(new Error('lost postgres://u:sesame@h/d'));`],
])('%s is logged without secrets, and the process ends with 1', async (_what, code) => {
  const { exitCode, stdout, stderr } = await run(`${code} setInterval(() => undefined, 1000);`);
  expect(exitCode).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    level: 'fatal',
    event: 'server.crashed',
    err: { type: 'Error', stack: expect.stringContaining('lost') },
  });
  expect(stderr).toContain('postrider: unexpected error; the log has it');
  expect(stdout + stderr).not.toContain('sesame');
});

test('what is still open after the stop is named and not waited for; nothing open, nothing said', async () => {
  const lingering = await run(`endSoon(logger, 50); setInterval(() => undefined, 1000);`);
  expect(lingering.exitCode).toBe(1);
  expect(JSON.parse(lingering.stdout)).toMatchObject({
    event: 'server.lingering',
    open: expect.arrayContaining(['Timeout']) as unknown,
  });
  expect(await run(`endSoon(logger, 50);`)).toEqual({ exitCode: 0, stdout: '', stderr: '' });
});
