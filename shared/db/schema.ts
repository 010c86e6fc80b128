/** Every table of the database as Kysely sees it. int8 comes as bigint (client.ts); modseqs, UIDs and sizes are made numbers by the store's row mappers. */
import type { AcmeTables } from './acme-tables.ts';
import type { DirectoryTables } from './directory-tables.ts';
import type { DomainTables } from './domain-tables.ts';
import type { InstanceTables } from './instance-tables.ts';
import type { MailTables } from './mail-tables.ts';
import type { OperatorTables } from './operator-tables.ts';
import type { OutboundTables } from './outbound-tables.ts';
import type { RouteTables } from './route-tables.ts';
import type { SendingTables } from './sending-tables.ts';

/** One row a migration that was applied. Made by migrate.ts itself. */
type SchemaStateTable = {
  readonly number: number;
  readonly name: string;
  /** SHA-256 of the file, hexadecimal. */
  readonly checksum: string;
  /** The oldest server that can live with the schema from this migration on. */
  readonly oldest_server: number;
};

export type Database = AcmeTables &
  DirectoryTables &
  DomainTables &
  InstanceTables &
  MailTables &
  OperatorTables &
  OutboundTables &
  RouteTables &
  SendingTables & { readonly schema_state: SchemaStateTable };
