/** `postrider dkim`: the records to publish. */
import type { ServerConfig } from '#shared/config/server-config.ts';
import { checkSchema } from '#shared/db/migrate.ts';
import { dkimRecords, zoneLine } from '#shared/directory/dkim-keys.ts';
import { withDatabase, type Print } from './database-commands.ts';

/** `domain` null: of every domain. Lines of a zone file, each after a comment that says what its key is doing. */
export function printDkimRecords(config: ServerConfig, domain: string | null, print: Print): Promise<number> {
  return withDatabase(config, async (database) => {
    await checkSchema(database);
    for (const record of await dkimRecords(database.db, domain)) {
      print(`; ${record.domain}: ${record.algorithm}, ${record.state}`);
      print(zoneLine(record));
    }
  });
}
