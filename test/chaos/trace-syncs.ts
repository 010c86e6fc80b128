/** Counts what the kernel is asked for: fsync and fdatasync of a process, its children, and those that they start. */
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { descendants, parseProcessStat } from '../bench/proc.ts';

export type SyncTrace = {
  /** How many since it began. */
  stop(): Promise<number>;
};

/** Whether strace may look at processes here: containers can forbid it. */
export function canTrace(): boolean {
  try {
    execFileSync('strace', ['-o', '/dev/null', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Resolves when every process is watched. */
export async function countSyncs(root: number): Promise<SyncTrace> {
  const pids = treeOf(root);
  const args = ['-f', '-e', 'trace=fsync,fdatasync', ...pids.flatMap((pid) => ['-p', String(pid)])];
  const strace = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let heard = '';
  const { promise: attached, resolve, reject } = Promise.withResolvers<void>();
  strace.stderr.on('data', (chunk: Buffer) => {
    heard += chunk.toString('latin1');
    if ([...heard.matchAll(/Process \d+ attached/g)].length >= pids.length) resolve();
  });
  const ended = new Promise<void>((done) => strace.once('close', () => done()));
  void ended.then(() => reject(new Error(`strace ended: ${heard.slice(-500)}`)));
  await attached;
  return {
    async stop() {
      strace.kill('SIGINT');
      await ended;
      // A call that others interrupt is told in two lines, of which one has the result.
      return [...heard.matchAll(/(?:fsync|fdatasync)(?:\(| resumed).*= 0$/gm)].length;
    },
  };
}

function treeOf(root: number): readonly number[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))];
      } catch {
        return []; // Ended meanwhile.
      }
    });
  return descendants(all, [root]).map(({ pid }) => pid);
}
