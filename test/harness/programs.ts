/** Outside programs that tests drive. CI has them all; on another machine a missing one skips its tests by name. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

/** Program (or file) and the Debian package that has it; test/debian-packages.txt lists the same packages. */
const packages = {
  curl: 'curl',
  '/usr/lib/dovecot/lmtp': 'dovecot-lmtpd',
  '/usr/sbin/dovecot': 'dovecot-imapd',
  '/usr/sbin/knotd': 'knot',
  '/usr/sbin/postfix': 'postfix',
  '/usr/sbin/smtp-sink': 'postfix',
  '/usr/sbin/unbound': 'unbound',
  '/usr/lib/postgresql/15/bin/postgres': 'postgresql-15',
  mbsync: 'isync',
  msmtp: 'msmtp',
  neomutt: 'neomutt',
  promtool: 'prometheus',
  python3: 'python3',
  strace: 'strace',
  swaks: 'swaks',
  '/usr/lib/python3/dist-packages/dkim/__init__.py': 'python3-dkim',
  '/usr/lib/python3.11/test/test_email/data': 'libpython3.11-testsuite',
} as const;

export type Program = keyof typeof packages;

/**
 * For `describe.skipIf(lacks('swaks'))`: true when the program is missing, after saying which package has it.
 * With TEST_REQUIRE_PROGRAMS set (CI does), a missing program is an error.
 */
export function lacks(...programs: readonly Program[]): boolean {
  const missing = programs.filter((program) => !isThere(program));
  for (const program of missing) {
    const message = `${program} is not installed: install the Debian package ${packages[program]} to run its tests`;
    if (process.env['TEST_REQUIRE_PROGRAMS']) throw new Error(message);
    console.warn(message);
  }
  return missing.length > 0;
}

function isThere(program: string): boolean {
  if (path.isAbsolute(program)) return existsSync(program);
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(path.join(folder, program)));
}
