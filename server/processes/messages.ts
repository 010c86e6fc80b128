/** What the process that supervises and those that serve tell each other. */
import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import type { PackedConfig } from './packed-config.ts';

/** As prom-client's getMetricsAsJSON gives them. */
export type MetricSnapshot = readonly MetricObjectWithValues<MetricValue<string>>[];

/** A ProgramFault, told to another process. */
export type ToldFault = { readonly exitCode: 69 | 78; readonly message: string; readonly hint: string };

export type ToProcess =
  /** The first message. `number` is from 1 up; who comes in place of another has its number. */
  | { readonly kind: 'start'; readonly number: number; readonly config: PackedConfig }
  | { readonly kind: 'report' }
  | { readonly kind: 'stop'; readonly graceMs: number };

export type FromProcess =
  | { readonly kind: 'ready'; readonly ports: readonly (readonly [name: string, port: number])[] }
  /** It can't start, and why. */
  | { readonly kind: 'fault'; readonly fault: ToldFault }
  | { readonly kind: 'report'; readonly metrics: MetricSnapshot }
  /** The last word before the end: nothing that was counted is lost. */
  | { readonly kind: 'stopped'; readonly metrics: MetricSnapshot };
