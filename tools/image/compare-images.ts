/**
 * `make images-compare`: builds the last commit twice, each time from a clone of its own with other modes and without
 * anything from before, and compares what came out: the same sources are to give the same bytes. Some minutes.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { findBuilder, type Builder } from './builders.ts';

const prefix = 'localhost/postrider-compare/';
const parts = ['server', 'operator'];
const turns = [
  { tag: 'first', umask: '022', folder: 'a' },
  { tag: 'second', umask: '077', folder: 'another/folder' },
];

const builder = findBuilder();
if (builder !== null) {
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'postrider-images-'));
  try {
    for (const turn of turns) buildOnce(builder, scratch, turn);
    for (const part of parts) compare(builder, part);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
    const images = turns.flatMap(({ tag }) => parts.map((part) => `${prefix}${part}:${tag}`));
    for (const image of images) spawnSync(builder.name, ['rmi', image], { stdio: 'ignore' });
  }
}

function buildOnce({ flags }: Builder, scratch: string, { tag, umask, folder }: (typeof turns)[number]): void {
  const script = 'umask "$1"; git clone --quiet . "$2"; cd "$2"; exec "$3" tools/image/build-images.ts';
  run('sh', ['-ec', script, 'sh', umask, path.join(scratch, folder), process.execPath], {
    IMAGE_PREFIX: prefix,
    TAG: tag,
    BUILD_FLAGS: [...flags, '--no-cache'].join(' '),
  });
}

function compare({ name, identify }: Builder, part: string): void {
  const digests = turns.map(({ tag }) => run(name, identify(`${prefix}${part}:${tag}`)).trim());
  const isSame = digests.every((digest) => digest === digests[0]);
  console.log(`${part}: ${isSame ? `twice ${digests[0]}` : `DIFFERENT: ${digests.join(' and ')}`}`);
  if (!isSame) process.exitCode = 1;
}

/** What it prints on standard output. */
function run(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const { status, stdout, stderr } = spawnSync(program, args, {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr.slice(-2000)}`);
  return stdout;
}
