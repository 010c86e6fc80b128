import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { MailError } from '#server/mail/mail-error.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import type { MessageIndex } from '#server/mime/part.ts';
import { maxMessageBytesInMemory } from '#shared/base/limits.ts';
import { SpoolFile } from './spool-file.ts';
import { SpoolArea } from './spool.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

let directory: string;
let pushed: Uint8Array[];
let fileBytes: number;

beforeEach(async () => {
  directory = path.join(await mkdtemp(path.join(tmpdir(), 'spool-test-')), 'spool');
  pushed = [];
  fileBytes = 0;
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(path.dirname(directory), { recursive: true, force: true });
});

const index: MessageIndex = {
  envelope: '()',
  bodystructure: '()',
  root: {
    headerStart: 0,
    bodyStart: 0,
    end: 0,
    type: 'text',
    subtype: 'plain',
    charset: null,
    encoding: '7bit',
    children: [],
  },
  sentAt: null,
  receivedFields: 0,
  hasBareCr: false,
  hasBareLf: false,
  hasNul: false,
};

function openArea(maxMemoryBytes = 64 * 1024 * 1024): Promise<SpoolArea> {
  return SpoolArea.open({
    directory,
    maxMemoryBytes,
    createIndexer: () => ({ push: (chunk) => pushed.push(Uint8Array.from(chunk)), finish: () => index }),
    onFileBytes: (change) => (fileBytes += change),
  });
}

async function bytesOf(message: SpooledMessage, start = 0, end = message.size): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message.read(start, end)) {
    expect(chunk.length).toBeLessThanOrEqual(256 * 1024);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function noise(bytes: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * 2654435761) >>> 13));
}

function* inChunks(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test('a small message stays in memory, is hashed and indexed, and gives its memory back', async () => {
  const area = await openArea();
  const bytes = noise(5000);
  {
    await using spool = area.createSpool(10_000);
    for (const chunk of inChunks(bytes, 700)) await spool.write(chunk);
    await using message = await spool.finish();
    expect(message.inMemory).toEqual(bytes);
    expect(message.size).toBe(5000);
    expect(message.hash).toBe(createHash('sha256').update(bytes).digest('hex'));
    expect(message.index).toBe(index);
    expect(Buffer.concat(pushed)).toEqual(bytes);
    expect(await bytesOf(message, 10, 4000)).toEqual(bytes.subarray(10, 4000));
    expect(area.memoryUsed).toBe(5000);
  }
  expect(area.memoryUsed).toBe(0);
});

test('an empty message is a message', async () => {
  const area = await openArea();
  await using spool = area.createSpool(10);
  await using message = await spool.finish();
  expect(message).toMatchObject({ size: 0, inMemory: Buffer.alloc(0) });
  expect(await bytesOf(message)).toEqual(Buffer.alloc(0));
});

test('a large message goes to a file that has no name, and memory is free again', async () => {
  const area = await openArea();
  const bytes = noise(maxMessageBytesInMemory + 123_457);
  await using spool = area.createSpool(bytes.length);
  for (const chunk of inChunks(bytes, 65_536)) {
    await spool.write(chunk);
    expect(area.memoryUsed).toBeLessThanOrEqual(maxMessageBytesInMemory);
  }
  await using message = await spool.finish();
  expect(message.inMemory).toBeNull();
  expect(area.memoryUsed).toBe(0);
  expect(await readdir(directory)).toEqual([]);
  expect(message.hash).toBe(createHash('sha256').update(bytes).digest('hex'));
  expect(await bytesOf(message)).toEqual(bytes);
  expect(await bytesOf(message, 262_100, 600_000)).toEqual(bytes.subarray(262_100, 600_000));
  expect(fileBytes).toBe(bytes.length);
  await message[Symbol.asyncDispose]();
  expect(fileBytes).toBe(0);
});

test('any chunking gives the same bytes, in memory and in a file', async () => {
  const area = await openArea(1000);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 12 }), async (chunks) => {
      const bytes = Buffer.concat(chunks);
      await using spool = area.createSpool(1_000_000);
      for (const chunk of chunks) await spool.write(Buffer.from(chunk));
      await using message = await spool.finish();
      expect(message.inMemory === null).toBe(bytes.length > 1000);
      expect(await bytesOf(message)).toEqual(bytes);
    }),
    { numRuns: 40 },
  );
  expect(area.memoryUsed).toBe(0);
});

test('when the memory of all spools is used up, a small message goes to a file', async () => {
  const area = await openArea(1500);
  await using first = area.createSpool(10_000);
  await first.write(noise(1000));
  await using second = area.createSpool(10_000);
  await second.write(noise(1000));
  expect(area.memoryUsed).toBe(1000);
  await using message = await second.finish();
  expect(message.inMemory).toBeNull();
  expect(await bytesOf(message)).toEqual(noise(1000));
});

test('over the limit bytes are counted and dropped, and finish refuses with too-big', async () => {
  const area = await openArea();
  await using spool = area.createSpool(1000);
  await spool.write(noise(1000));
  expect(spool.isTooBig).toBe(false);
  await spool.write(noise(1));
  await spool.write(noise(5000));
  expect(spool.isTooBig).toBe(true);
  expect(spool.size).toBe(6001);
  expect(area.memoryUsed).toBe(0);
  expect(Buffer.concat(pushed)).toHaveLength(1000);
  await expect(spool.finish()).rejects.toMatchObject({ fault: { kind: 'too-big', limitBytes: 1000 } });
});

test('a full disk is storage-full; the rest is dropped', async () => {
  const area = await openArea(0);
  vi.spyOn(SpoolFile.prototype, 'append').mockRejectedValueOnce(Object.assign(new Error('full'), { code: 'ENOSPC' }));
  await using spool = area.createSpool(10_000);
  await spool.write(noise(100));
  await spool.write(noise(100));
  expect(spool.size).toBe(200);
  const error: unknown = await spool.finish().catch((e: unknown) => e);
  expect(error).toBeInstanceOf(MailError);
  expect(error).toMatchObject({ fault: { kind: 'storage-full' } });
});

test('another error of the disk is thrown as it is', async () => {
  const area = await openArea(0);
  const broken = Object.assign(new Error('input/output error'), { code: 'EIO' });
  vi.spyOn(SpoolFile.prototype, 'append').mockRejectedValueOnce(broken);
  await using spool = area.createSpool(10_000);
  await spool.write(noise(100));
  await expect(spool.finish()).rejects.toBe(broken);
});

test('a spool that is given up frees what it had; disposing twice is harmless', async () => {
  const area = await openArea();
  const spool = area.createSpool(10_000);
  await spool.write(noise(3000));
  await spool[Symbol.asyncDispose]();
  await spool[Symbol.asyncDispose]();
  expect(area.memoryUsed).toBe(0);
  await expect(spool.finish()).rejects.toThrow('disposed');
});

test('a spool that is given up while its file is being opened closes it', async () => {
  const create = SpoolFile.create.bind(SpoolFile);
  const files: SpoolFile[] = [];
  vi.spyOn(SpoolFile, 'create').mockImplementation(async (...given) => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    const file = await create(...given);
    files.push(file);
    return file;
  });
  const area = await openArea(0);
  const spool = area.createSpool(1_000_000);
  const writing = spool.write(noise(100_000));
  await spool[Symbol.asyncDispose]();
  await writing;
  expect(files).toHaveLength(1);
  await expect(files[0]?.append([noise(1)], 1)).rejects.toThrow(/closed/);
  expect([fileBytes, area.memoryUsed]).toEqual([0, 0]);
});

test('bytes that come one by one take no more memory than they are counted for', async () => {
  const area = await openArea();
  await using spool = area.createSpool(1_000_000);
  const bytes = noise(200_000);
  gc();
  const before = process.memoryUsage().heapUsed;
  // A copy each, as a socket gives them.
  for (let at = 0; at < bytes.length; at++) await spool.write(Buffer.from(bytes.subarray(at, at + 1)));
  pushed = [];
  gc();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(5_000_000);
  await using message = await spool.finish();
  expect((await bytesOf(message)).equals(bytes)).toBe(true);
});

test('a message disposed of twice gives its memory back once', async () => {
  const area = await openArea();
  await using spool = area.createSpool(10_000);
  await spool.write(noise(3000));
  const message = await spool.finish();
  await message[Symbol.asyncDispose]();
  await message[Symbol.asyncDispose]();
  expect(area.memoryUsed).toBe(0);
});

test('opening makes the directory private and removes what a dead process left, and nothing else', async () => {
  await mkdir(directory, { mode: 0o755 });
  await writeFile(path.join(directory, 'message-0123456789abcdef01234567.spool'), 'x');
  await writeFile(path.join(directory, 'notes.txt'), 'x');
  await openArea();
  expect(await readdir(directory)).toEqual(['notes.txt']);
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
});
