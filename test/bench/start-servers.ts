/** Starts what the rows need, in one temporary folder, and stops it in the end, whatever happens. */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Bench } from './bench.ts';
import { ClientProcess } from './client/client-process.ts';
import { secondProcess } from './rows/login-rows.ts';
import { writeCertificate } from './servers/certificate.ts';
import { DovecotInstance } from './servers/dovecot.ts';
import { startEmptyLoop } from './servers/empty-loop.ts';
import type { MailServer, ServerName } from './servers/mail-server.ts';
import { Postfix } from './servers/postfix.ts';
import { PostfixOpenDkim } from './servers/postfix-opendkim.ts';
import { Postrider } from './servers/postrider.ts';
import { Sinks } from './servers/sinks.ts';

export type Started = AsyncDisposable & {
  /** Why a server is not there. */
  readonly missing: ReadonlyMap<ServerName, string>;
  bench(isQuick: boolean): Bench;
};

export type StartOptions = {
  /** Arguments of node, for our server's profiles. */
  readonly nodeArgs?: readonly string[];
  /** Whether mail goes out to anybody; as the servers need it, unless told. */
  readonly withSinks?: boolean;
};

export async function startServers(
  wanted: ReadonlySet<ServerName>,
  say: (text: string) => void,
  { nodeArgs = [], withSinks = wanted.has('postfix-opendkim') }: StartOptions = {},
): Promise<Started> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-bench-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  // Servers that change users must reach what is theirs.
  await chmod(folder, 0o755);
  const certificate = await writeCertificate(folder);
  const client = stack.use(new ClientProcess());
  const servers = new Map<ServerName, MailServer>();
  const missing = new Map<ServerName, string>();
  const start = async (name: string, begin: (own: string) => Promise<readonly MailServer[]>): Promise<void> => {
    const own = path.join(folder, name);
    await mkdir(own);
    for (const server of await begin(own)) servers.set(server.name, server);
  };
  const sinks = withSinks ? stack.use(await Sinks.start(certificate)).ports : undefined;
  if (wanted.has('postrider')) {
    await start('postrider', async (own) => [
      stack.use(await Postrider.start({ folder: own, certificate, sinks, nodeArgs })),
    ]);
  }
  if (wanted.has('empty-loop')) await start('empty-loop', async (own) => [stack.use(await startEmptyLoop(own))]);
  const optional = async (names: readonly ServerName[], begin: (own: string) => Promise<readonly MailServer[]>) => {
    const asked = names.filter((name) => wanted.has(name));
    if (asked.length === 0) return;
    try {
      await start(names[0] as string, begin);
      for (const name of asked) if (!servers.has(name)) missing.set(name, 'the Debian package is not installed');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      say(`${asked.join(', ')}: ${reason}`);
      for (const name of asked) missing.set(name, reason.split('\n')[0] as string);
    }
  };
  await optional(['postfix'], async (own) => [stack.use(await Postfix.start(own, certificate))]);
  if (sinks) {
    await optional(['postfix-opendkim'], async (own) => [
      stack.use(await PostfixOpenDkim.start(own, certificate, sinks)),
    ]);
  }
  await optional(['dovecot-mdbox', 'dovecot-sdbox', 'dovecot-xapian'], async (own) =>
    stack.use(await DovecotInstance.start(own, certificate, say)).servers(),
  );
  let bench: Bench | null = null;
  stack.defer(async () => {
    await bench?.[Symbol.asyncDispose]();
    if (bench) await secondProcess(bench)?.[Symbol.asyncDispose]();
  });
  const owned = stack.move();
  return {
    missing,
    bench: (isQuick) => (bench ??= new Bench({ client, servers, folder, isQuick })),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
