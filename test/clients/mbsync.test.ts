import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lacks } from '../harness/programs.ts';
import { runProgram } from '../harness/run-program.ts';
import { startService, type Service } from '../harness/service.ts';

const total = 1000;

describe.skipIf(lacks('mbsync'))('mbsync', () => {
  let service: Service;
  let folder: string;
  beforeAll(async () => {
    service = await startService();
    folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-mbsync-'));
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function maildir(name: string): Promise<string> {
    const inbox = path.join(folder, name, 'Trip');
    for (const sub of ['cur', 'new', 'tmp']) await mkdir(path.join(inbox, sub), { recursive: true });
    await mkdir(path.join(folder, name, 'state'), { recursive: true });
    return inbox;
  }

  async function sync(name: string): Promise<void> {
    const { address, password } = service.users.alice;
    const config = `
IMAPStore remote
Host localhost
Port ${service.ports.imapTls}
User ${address}
Pass "${password}"
SSLType IMAPS
CertificateFile ${service.certificateFile}

MaildirStore local
Path ${folder}/${name}/
Inbox ${folder}/${name}/Inbox

Channel trip
Far :remote:
Near :local:
Patterns Trip
Create Both
Expunge Both
SyncState ${folder}/${name}/state/
`;
    const file = path.join(folder, `${name}.rc`);
    await writeFile(file, config);
    const ran = await runProgram('mbsync', ['-q', '-c', file, 'trip'], { timeoutMs: 120_000 });
    expect(ran).toMatchObject({ code: 0, stderr: '' });
  }

  /** SHA-256 of each message, sorted; with its maildir flags. mbsync puts a field X-TUID into what it uploads, which is left out. */
  async function contents(inbox: string): Promise<readonly string[]> {
    const found: string[] = [];
    for (const sub of ['cur', 'new']) {
      for (const name of await readdir(path.join(inbox, sub))) {
        const bytes = (await readFile(path.join(inbox, sub, name), 'latin1')).replace(/^X-TUID: .*\n/m, '');
        const flags = /:2,([A-Z]*)/.exec(name)?.[1] ?? '';
        found.push(`${createHash('sha256').update(bytes, 'latin1').digest('hex')} ${flags}`);
      }
    }
    return found.sort();
  }

  test(
    `${total} messages go up, come down elsewhere byte for byte, and changes go both ways`,
    { timeout: 240_000 },
    async () => {
      const here = await maildir('here');
      for (let n = 0; n < total; n++) {
        const flags = ['', 'S', 'F', 'FS', 'R'][n % 5];
        const body = randomBytes(1 + ((n * 37) % 3000))
          .toString('base64')
          .replace(/(.{76})/g, '$1\n');
        const text = `From: sender${n}@example.test\nSubject: =?utf-8?q?m=C3=BCde_${n}?=\nMessage-ID: <${n}@trip.test>\n\n${body}\n`;
        await writeFile(path.join(here, 'cur', `1700000000.${n}.host:2,${flags}`), text);
      }
      const original = await contents(here);
      await sync('here');

      const there = await maildir('there');
      await sync('there');
      expect(await contents(there)).toEqual(original);

      // Elsewhere: one message is flagged, one is thrown away, one is written.
      const names = (await readdir(path.join(there, 'cur'))).filter((name) => name.endsWith(':2,S')).sort();
      const [flagged, removed] = names as [string, string];
      await rename(path.join(there, 'cur', flagged), path.join(there, 'cur', flagged.replace(/S$/, 'FS')));
      await rename(path.join(there, 'cur', removed), path.join(there, 'cur', `${removed}T`));
      await writeFile(path.join(there, 'new', '1700009999.new.host'), 'Subject: new\n\nwritten there\n');
      await sync('there');
      await sync('here');
      expect(await contents(here)).toEqual(await contents(there));
      expect((await contents(here)).length).toBe(total);
    },
  );
});
