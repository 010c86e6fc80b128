import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { lacks } from '../harness/programs.ts';
import { startService } from '../harness/service.ts';

describe.skipIf(lacks('neomutt', 'curl'))('neomutt', () => {
  test('lists the inbox', async () => {
    await using service = await startService();
    await service.deliver(
      service.users.alice.address,
      'From: Carol <carol@sender.test>\r\nSubject: seen on a screen\r\n\r\nbody\r\n',
    );
    await service.deliver(
      service.users.alice.address,
      'From: Dave <dave@sender.test>\r\nSubject: and a second one\r\n\r\nbody\r\n',
    );
    const home = await mkdtemp(path.join(os.tmpdir(), 'postrider-neomutt-'));
    const { address, password } = service.users.alice;
    const rc = [
      `set folder = "imaps://localhost:${service.ports.imapTls}"`,
      `set spoolfile = "imaps://localhost:${service.ports.imapTls}/INBOX"`,
      `set imap_user = "${address}"`,
      `set imap_pass = "${password}"`,
      `set certificate_file = "${service.certificateFile}"`,
      'set ssl_verify_host = no',
      'set mail_check_stats = no',
      'set read_only = yes',
      'unset wait_key',
    ];
    await writeFile(path.join(home, 'rc'), `${rc.join('\n')}\n`);
    const screen = await screenUntil(home, /and a second one/);
    expect(screen).toContain('seen on a screen');
    expect(screen).toContain('Carol');
    expect(screen).toMatch(/Msgs:2/);
    await rm(home, { recursive: true, force: true });
  });
});

/** A terminal program needs a terminal: `script` (bsdutils) gives it one. Types q when the pattern has shown. */
async function screenUntil(home: string, pattern: RegExp): Promise<string> {
  const child = spawn('script', ['-q', '-e', '-c', `stty cols 120 rows 40; neomutt -n -F ${home}/rc`, '/dev/null'], {
    env: { ...process.env, TERM: 'vt100', HOME: home, LC_ALL: 'C.UTF-8' },
    detached: true,
  });
  // It leads a group of its own, so that nothing of it is left when it hangs.
  const watchdog = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), 20_000);
  child.stdin.on('error', () => undefined); // It may end before it has read the key.
  let shown = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const wasThere = pattern.test(shown);
    shown += chunk.toString();
    if (!wasThere && pattern.test(shown)) child.stdin.write('q');
  });
  await once(child, 'close');
  clearTimeout(watchdog);
  return shown;
}
