/** What a row is to reach, as data: the run says whether it did. */
import type { ServerName } from '../servers/mail-server.ts';

export type Aim =
  | {
      readonly kind: 'times';
      /** So many times better than each of these servers; 0.5 is half as good. */
      readonly times: number;
      readonly than: readonly ServerName[];
      readonly also: Readonly<Record<string, number>>;
    }
  | {
      readonly kind: 'bound';
      /** In the row's unit: at least this where more is better, at most this where less is. */
      readonly bound: number;
      /** Of figures beside the value, by their names in `Sample.also`: at most. */
      readonly also: Readonly<Record<string, number>>;
    }
  /** A figure to know. */
  | { readonly kind: 'stated' };

/** So many times better than every one of these. */
export function times(factor: number, ...than: readonly [ServerName, ...ServerName[]]): Aim {
  return { kind: 'times', times: factor, than, also: {} };
}

export function bound(value: number, also: Readonly<Record<string, number>> = {}): Aim {
  return { kind: 'bound', bound: value, also };
}

export const stated: Aim = { kind: 'stated' };
