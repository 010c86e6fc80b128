import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';

/** Runs a program that has the handlers and then does `code`. */
async function run(code: string) {
  const program = `
    import { createLogger } from '#shared/observe/logger.ts';
    import { endOnUnexpectedErrors, endSoon } from '#shared/process/ending.ts';
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
