/** `make run` after the install: the program alone, with a Postgres of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lacks } from '../harness/programs.ts';
import { freePorts } from '../harness/ports.ts';
import { runProgram } from '../harness/run-program.ts';

type Running = { readonly child: ChildProcess; readonly stdout: string; readonly seconds: number };

describe.skipIf(lacks('curl'))('run --local', () => {
  let folder: string;
  let ports: readonly number[];
  /** What a failed test leaves behind would keep the run's output open. */
  const running = new Set<ChildProcess>();
  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-local-'));
    // Postgres runs as another user where we are root, and must reach its folder.
    await chmod(folder, 0o755);
    ports = await freePorts(6);
  });
  afterAll(async () => {
    await Promise.all([...running].map((child) => stop(child)));
    await rm(folder, { recursive: true, force: true });
  });

  /** Resolves when it has said that it is ready. */
  async function start(): Promise<Running> {
    const names = [
      'SMTP_RECEIVE_PORT',
      'SUBMISSION_PORT',
      'SMTP_RECEIVE_SSL_PORT',
      'IMAP_PORT',
      'IMAP_SSL_PORT',
      'HTTP_PORT',
    ];
    const env = Object.fromEntries(names.map((name, n) => [name, String(ports[n])]));
    const startedAt = performance.now();
    const child = spawn(process.execPath, ['cli/postrider.ts', 'run', '--local'], {
      env: { PATH: process.env['PATH'], DATA_DIR: folder, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    running.add(child);
    child.once('close', () => running.delete(child));
    let stdout = '';
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString();
        if (stdout.includes('Ctrl-C stops')) resolve();
      });
      child.once('close', (code) => reject(new Error(`ended with ${code}:\n${stdout}`)));
    });
    return { child, stdout, seconds: (performance.now() - startedAt) / 1000 };
  }

  async function stop(child: ChildProcess): Promise<number | null> {
    const closed = once(child, 'close');
    child.kill('SIGINT');
    return ((await closed) as [number | null])[0];
  }

  /** The printed commands, as somebody would paste them. */
  function commandsOf({ stdout }: Running): readonly string[] {
    return stdout.split('\n').filter((line) => /^ {2}(?:printf|curl) /.test(line));
  }

  const paste = (command: string | undefined) => runProgram('sh', ['-c', command ?? 'false']);

  test(
    'prints what is open, addresses and passwords, and three commands that work as pasted; mail outlives a restart',
    { timeout: 120_000 },
    async () => {
      const first = await start();
      expect(first.stdout).toContain('Postrider is ready.');
      for (const port of ports) expect(first.stdout).toContain(`  127.0.0.1:${port} `);
      expect(first.stdout).toMatch(/^ {2}alice@example\.test +\S{16,}$/m);
      // The aim is 10 s on an idle machine; other tests run beside this one.
      expect(first.seconds).toBeLessThan(30);
      const commands = commandsOf(first);
      expect(commands).toHaveLength(3);
      const [receive, submit, read] = commands;
      expect(await paste(receive)).toMatchObject({ code: 0, stderr: '' });
      expect(await paste(submit)).toMatchObject({ code: 0, stderr: '' });
      const readOnce = await paste(read);
      expect(readOnce.stdout).toContain('Subject: Hello\r\n');
      expect((await stat(path.join(folder, 'keyring'))).mode & 0o777).toBe(0o600);
      // A command uses the Postgres of the server that is running.
      const listed = await runProgram(process.execPath, ['cli/postrider.ts', 'queue', 'list', '--local'], {
        env: { DATA_DIR: folder },
      });
      expect(listed).toMatchObject({ code: 0, stderr: '' });
      expect((await paste(read)).stdout).toBe(readOnce.stdout);
      expect(await stop(first.child)).toBe(0);

      const second = await start();
      expect(commandsOf(second)).toEqual(commands);
      expect((await paste(read)).stdout).toBe(readOnce.stdout);
      expect(await stop(second.child)).toBe(0);
    },
  );
});
