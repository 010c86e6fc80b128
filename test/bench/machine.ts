/** What the figures were taken on. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import type { BenchResults } from './results.ts';

export function machine(): BenchResults['machine'] {
  return {
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 1024 ** 3),
    kernel: os.release(),
    node: process.version,
    disk: fileSystemOf(os.tmpdir()),
  };
}

export function commitNow(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--exclude=*'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown'; // Not a checkout.
  }
}

/** The type of the file system that holds `folder`. */
function fileSystemOf(folder: string): string {
  try {
    const mounts = readFileSync('/proc/mounts', 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' '));
    const above = mounts.filter(([, at = '']) => folder === at || folder.startsWith(at.endsWith('/') ? at : `${at}/`));
    const longest = above.sort(([, a = ''], [, b = '']) => b.length - a.length)[0];
    return longest?.[2] ?? 'unknown';
  } catch {
    return 'unknown'; // No Linux.
  }
}
