/** The Postgres store as the contract suite and its own tests use it. */
import { randomBytes } from 'node:crypto';
import type { AccountId } from '#shared/base/ids.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { PgChangeFeed } from '#server/store/pg-change-feed.ts';
import { PgMailStore } from '#server/store/pg-mail-store.ts';
import { createTestDatabase } from '../harness/database.ts';
import type { StoreUnderTest } from './store-under-test.ts';

export interface PgStoreUnderTest extends StoreUnderTest {
  readonly store: PgMailStore;
  readonly feed: PgChangeFeed;
  readonly database: PostgresDatabase;
  readonly url: string;
}

/** `url`: of a database that another one opened, whose owner drops it. */
export async function openPgStore(options: { readonly url?: string } = {}): Promise<PgStoreUnderTest> {
  const server = options.url === undefined ? await createTestDatabase() : null;
  const url = options.url ?? server?.url ?? '';
  const database = createDatabase({ url });
  const feed = new PgChangeFeed({ database });
  const store = new PgMailStore({ database, tell: (hint) => feed.tell(hint) });
  return {
    store,
    feed,
    database,
    url,
    createAccount: ({ limitBytes }) => insertAccount(database, limitBytes),
    async countBlobs() {
      const { count } = await database.db
        .selectFrom('blob')
        .select((eb) => eb.fn.countAll<bigint>().as('count'))
        .executeTakeFirstOrThrow();
      return Number(count);
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await feed[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      await server?.[Symbol.asyncDispose]();
    },
  };
}

export async function insertAccount({ db }: PostgresDatabase, limitBytes: number | null = null): Promise<AccountId> {
  const domain = await db
    .insertInto('domain')
    .values({ name: `${randomBytes(8).toString('hex')}.test`, managed_by: 'nobody' })
    .returning('id')
    .executeTakeFirstOrThrow();
  const { id } = await db
    .insertInto('account')
    .values({
      domain_id: domain.id,
      local_part: 'user',
      quota_bytes: limitBytes === null ? null : BigInt(limitBytes),
      managed_by: 'nobody',
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}
