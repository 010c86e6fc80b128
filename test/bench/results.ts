/** What a run writes to bench-results/ and `make bench-compare` reads. */

import type { Aim } from './rows/aim.ts';

/** One measurement of one row on one server. */
export type Sample = {
  readonly value: number;
  /** CPU-seconds of the server's processes, the database included. */
  readonly serverCpu: number;
  /** The part of it that is not in child processes: of ours, Node without Postgres. */
  readonly programCpu: number;
  readonly clientCpu: number;
  readonly seconds: number;
  /** The highest PSS seen of the server's processes, MiB; null where it was not looked for. */
  readonly peakPssMiB: number | null;
  /** The most resident memory of the part that is not in child processes, MiB: of ours, Node. Null as above. */
  readonly peakProgramMiB: number | null;
  /** Cores that neither of the two used: what else ran on the machine. */
  readonly foreignCores: number;
  /** Further figures of the row, by name. */
  readonly also?: Readonly<Record<string, number>>;
};

export type RowResult = {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly better: 'more' | 'less';
  readonly aim: Aim;
  /** By server; an entry a round, null where it failed. */
  readonly samples: Readonly<Record<string, readonly (Sample | null)[]>>;
  /** What this machine's parts do alone, by what they are. */
  readonly limits: Readonly<Record<string, number>>;
  /** Why a server has no figures. */
  readonly remarks: readonly string[];
  /** Servers that were there and gave no figure in one round at least. */
  readonly failed: readonly string[];
  /** How long all of it took, preparation included, seconds. */
  readonly tookSeconds: number;
};

/** The values of a server, a round each. */
export function roundsOf(row: RowResult, server: string): readonly (number | null)[] {
  return (row.samples[server] ?? []).map((sample) => sample?.value ?? null);
}

/** One probe of the machine: milliseconds of a fixed piece of work. */
export type Probe = { readonly cpuMs: number; readonly syncMs: number };

export type BenchResults = {
  readonly at: string;
  readonly commit: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryGiB: number;
    readonly kernel: string;
    readonly node: string;
    readonly disk: string;
  };
  readonly servers: Readonly<Record<string, string>>;
  readonly isQuick: boolean;
  readonly probes: readonly Probe[];
  readonly tookSeconds: number;
  readonly rows: readonly RowResult[];
};
