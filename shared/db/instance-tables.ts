import type { ColumnType } from 'kysely';

type ServerInstanceTable = {
  readonly name: string;
  readonly roles: readonly string[];
  readonly version: string;
  readonly schema: number;
  readonly started_at: Date;
  readonly seen_at: Date;
  /** JSON: read as values, written as text. */
  readonly facts: ColumnType<unknown, string, string>;
};

/** The table of 0013-server-instances.sql. */
export type InstanceTables = { readonly server_instance: ServerInstanceTable };
