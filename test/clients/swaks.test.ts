import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lacks } from '../harness/programs.ts';
import { runProgram } from '../harness/run-program.ts';
import { startService, type Service } from '../harness/service.ts';

describe.skipIf(lacks('swaks'))('swaks', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service[Symbol.asyncDispose]());

  function swaks(port: number, ...args: readonly string[]) {
    return runProgram('swaks', ['--server', '127.0.0.1', '--port', String(port), '--from', 'x@sender.test', ...args]);
  }

  test('port 25: EHLO offers STARTTLS and no AUTH; mail is taken with and without TLS', async () => {
    const plain = await swaks(service.ports.smtp, '--to', service.users.alice.address);
    expect(plain.code).toBe(0);
    expect(plain.stdout).toContain('250-PIPELINING');
    expect(plain.stdout).toMatch(/250[- ]STARTTLS/);
    expect(plain.stdout).not.toMatch(/250[- ]AUTH/);
    const tls = await swaks(service.ports.smtp, '--tls', '--to', service.users.alice.address);
    expect(tls.code).toBe(0);
    expect(tls.stdout).toContain('TLS started');
  });

  test('an unknown user is 550 5.1.1, another domain 550 5.7.1', async () => {
    const unknown = await swaks(service.ports.smtp, '--to', 'nobody-here@example.test');
    expect(unknown.stdout).toMatch(/<\*\* 550 5\.1\.1/);
    const remote = await swaks(service.ports.smtp, '--to', 'someone@elsewhere.invalid');
    expect(remote.stdout).toMatch(/<\*\* 550 5\.7\.1/);
  });

  test('submission: AUTH only after STARTTLS, required before MAIL, PLAIN and LOGIN work, remote recipients are queued', async () => {
    const { alice, bob } = service.users;
    const credentials = ['--auth-user', alice.address, '--auth-password', alice.password];
    const noTls = await swaks(service.ports.submission, '--to', bob.address, '--auth', 'PLAIN', ...credentials);
    expect(noTls.code).not.toBe(0);
    const noAuth = await swaks(service.ports.submission, '--tls', '--to', bob.address);
    expect(noAuth.stdout).toMatch(/<~\* 530 5\.7\.0/);
    for (const mechanism of ['PLAIN', 'LOGIN']) {
      const sent = await runProgram('swaks', [
        '--server',
        '127.0.0.1',
        '--port',
        String(service.ports.submission),
        '--tls',
        '--auth',
        mechanism,
        ...credentials,
        '--from',
        alice.address,
        '--to',
        bob.address,
      ]);
      expect(sent.code).toBe(0);
    }
    const remote = await runProgram('swaks', [
      '--server',
      '127.0.0.1',
      '--port',
      String(service.ports.submissionTls),
      '--tls-on-connect',
      '--auth',
      'PLAIN',
      ...credentials,
      '--from',
      alice.address,
      '--to',
      'someone@elsewhere.invalid',
    ]);
    expect(remote.stdout).toMatch(/<~\s+250 2\.0\.0 Stored as \S+, queued as q\d+/);
    expect(remote.code).toBe(0);
  });

  test('aliases and sub-addresses lead to the mailbox', async () => {
    for (const to of [service.aliasAddress, service.users.bob.address.replace('@', '+tag@')]) {
      expect((await swaks(service.ports.smtp, '--to', to)).code).toBe(0);
    }
  });
});
