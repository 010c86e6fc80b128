import { describe, expect, test } from 'vitest';
import { lacks } from '../harness/programs.ts';
import { runProgram } from '../harness/run-program.ts';
import { startService } from '../harness/service.ts';

describe.skipIf(lacks('python3'))('Python imaplib', () => {
  test('makes, fills, searches, changes, moves, expunges and deletes mailboxes', async () => {
    await using service = await startService();
    const { address, password } = service.users.alice;
    const script = 'test/clients/drive_imaplib.py';
    const ran = await runProgram('python3', [
      script,
      String(service.ports.imap),
      service.certificateFile,
      address,
      password,
    ]);
    expect(ran).toEqual({ code: 0, stdout: 'imaplib: every step answered OK\n', stderr: '' });
  });
});
