/** What /proc tells of a tree of processes: CPU-seconds used, and memory as PSS (shared pages counted once). */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** USER_HZ, fixed at 100 for what Linux shows to programs. */
const ticksPerSecond = 100;

export type ProcessStat = {
  readonly pid: number;
  readonly parent: number;
  /** Its own and that of children it has waited for. */
  readonly cpuSeconds: number;
};

/** A line of /proc/PID/stat; the name in parentheses may hold anything. */
export function parseProcessStat(line: string): ProcessStat {
  const pid = Number(line.slice(0, line.indexOf(' ')));
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0);
  return { pid, parent: Number(fields[1]), cpuSeconds: ticks / ticksPerSecond };
}

/** KiB of PSS in a /proc/PID/smaps_rollup. */
export function parsePss(rollup: string): number {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0);
}

/** Busy CPU-seconds of the whole machine since its start: the first line of /proc/stat without idle and iowait. */
export function parseBusySeconds(stat: string): number {
  const line = stat.slice(0, stat.indexOf('\n'));
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / ticksPerSecond;
}

/** Those of `all` that descend from `roots`, the roots included. */
export function descendants(all: readonly ProcessStat[], roots: readonly number[]): readonly ProcessStat[] {
  const found = new Set<number>(roots);
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid);
  }
  return all.filter(({ pid }) => found.has(pid));
}

/** CPU-seconds used so far by the trees below `roots`. */
export function cpuSecondsOf(roots: readonly number[]): number {
  return descendants(allProcesses(), roots).reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
}

/** Those of the one process alone. */
export function ownCpuSeconds(pid: number): number {
  const line = read(`/proc/${pid}/stat`);
  return line === '' ? 0 : parseProcessStat(line).cpuSeconds;
}

/** MiB of PSS of the trees below `roots`. */
export function pssMiBOf(roots: readonly number[]): number {
  const kib = descendants(allProcesses(), roots).map(({ pid }) => parsePss(read(`/proc/${pid}/smaps_rollup`)));
  return kib.reduce((sum, one) => sum + one, 0) / 1024;
}

/** MiB of the pages of one process that are in memory now, and the most since `resetPeak`; 0 where it has ended. */
export function residentMiB(pid: number): { readonly now: number; readonly peak: number } {
  return parseResident(read(`/proc/${pid}/status`));
}

/** VmRSS and VmHWM of a /proc/PID/status, MiB. */
export function parseResident(status: string): { readonly now: number; readonly peak: number } {
  const [now = 0, peak = 0] = ['VmRSS', 'VmHWM'].map(
    (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) / 1024,
  );
  return { now, peak };
}

/** Forgets the most memory that the process had so far; without the right to it the peak is that since its start. */
export function resetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // Another user's process, or no Linux.
  }
}

export function busySeconds(): number {
  return parseBusySeconds(read('/proc/stat'));
}

/** Whether /proc is that of Linux; elsewhere CPU and memory are not measured. */
const hasProc = read('/proc/self/stat') !== '';

function allProcesses(): readonly ProcessStat[] {
  if (!hasProc) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => read(`/proc/${pid}/stat`))
    .filter((line) => line !== '')
    .map(parseProcessStat);
}

/** Empty where the process has ended meanwhile. */
function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
