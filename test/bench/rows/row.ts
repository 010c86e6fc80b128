/** One line of the table. */
import type { Bench } from '../bench.ts';
import type { Aim } from './aim.ts';
import type { Sample } from '../results.ts';
import type { MailServer, ServerName } from '../servers/mail-server.ts';

export type Row = {
  readonly name: string;
  readonly title: string;
  readonly unit: '/s' | 'ms' | 's' | 'MB/s' | 'KiB' | 'MB/min' | 'x';
  readonly better: 'more' | 'less';
  readonly aim: Aim;
  readonly servers: readonly ServerName[];
  /** It logs in without TLS, which our server takes only in development mode: passwords are then not looked at. */
  readonly clearLogin?: true;
  /** For one that takes long: rounds at most. */
  readonly rounds?: number;
  /** Takes too long for every run: only when it is named. */
  readonly isSeparate?: true;
  /** What it measures does not change when the database is further away, or can't be told then. */
  readonly isNearOnly?: true;
  /** It begins cold, or what it measures is no speed. */
  readonly needsNoWarmUp?: true;
  /** Once a server, not measured: mailboxes that the row reads. */
  prepare?(bench: Bench, server: MailServer): Promise<void>;
  measure(bench: Bench, server: MailServer): Promise<Sample>;
  /** After the last round: ends what only this row needs. */
  finish?(bench: Bench): Promise<void>;
  /** Of our samples, something to print beside the table. */
  remark?(samples: readonly Sample[]): string;
  /** What the parts do alone, by what they are; once a run. */
  limits?(bench: Bench): Promise<Readonly<Record<string, number>>>;
};
