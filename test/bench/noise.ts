/** Whether the machine was quiet enough to believe what was measured on it. */
import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { far } from './far.ts';
import type { Probe, RowResult } from './results.ts';
import { median } from './statistics.ts';

const hashedBytes = 32 * 1024 * 1024;
const syncs = 40;
/** How far probes may lie apart, as a factor, before absolute figures are not to be trusted. */
const trustedFactor = 1.35;
/** CPU time is told in ticks of 10 ms: of what is shorter than this it says nothing. */
const leastSeconds = 0.5;
/** Cores that others may use during a row. */
const trustedForeignCores = 0.25;

/** About 100 ms: a fixed piece of work for the CPU, and fdatasyncs on the disk the servers use. */
export function probe(folder: string): Probe {
  const block = Buffer.alloc(1024 * 1024, 'postrider');
  const startedAt = performance.now();
  const hash = createHash('sha256');
  for (let done = 0; done < hashedBytes; done += block.length) hash.update(block);
  hash.digest();
  const hashedAt = performance.now();
  const file = path.join(folder, 'probe');
  const fd = openSync(file, 'w');
  for (let i = 0; i < syncs; i++) {
    writeSync(fd, block, 0, 4096);
    fdatasyncSync(fd);
  }
  closeSync(fd);
  rmSync(file);
  return { cpuMs: hashedAt - startedAt, syncMs: performance.now() - hashedAt };
}

/** A sentence for each reason to doubt the figures; empty on a quiet machine. */
export function doubts(probes: readonly Probe[], rows: readonly RowResult[]): readonly string[] {
  const found: string[] = [];
  for (const [what, times] of [
    ['CPU', probes.map(({ cpuMs }) => cpuMs)],
    ['fdatasync', probes.map(({ syncMs }) => syncMs)],
  ] as const) {
    const factor = Math.max(...times) / Math.min(...times);
    if (times.length > 1 && factor > trustedFactor) {
      found.push(
        `the same ${what} work took between ${Math.min(...times).toFixed(0)} and ${Math.max(...times).toFixed(0)} ms ` +
          `(factor ${factor.toFixed(1)}; ${trustedFactor} is the most for figures to be trusted)`,
      );
    }
  }
  const disturbed = rows.filter((row) => foreignCores(row) > trustedForeignCores);
  if (disturbed.length > 0) {
    found.push(
      `other programs used over ${trustedForeignCores} of a core during ${disturbed.map(({ name }) => name).join(', ')}`,
    );
  }
  return found;
}

/** The median over all samples of a row. */
export function foreignCores(row: RowResult): number {
  // The proxy before a database further away is neither server nor client.
  const all = Object.entries(row.samples).flatMap(([server, samples]) => (server === far ? [] : samples));
  const measured = all.flatMap((sample) =>
    sample === null || sample.seconds < leastSeconds ? [] : [sample.foreignCores],
  );
  return measured.length === 0 ? 0 : median(measured);
}
