/**
 * The database's connections: a pool behind Kysely, and single connections for what needs one of its own.
 * Decided here for all of them: names, timeouts, and how values become JavaScript (int8 is bigint, date is text).
 */
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { Kysely, PostgresDialect, type CompiledQuery, type PostgresPool, type PostgresPoolClient } from 'kysely';
import pg from 'pg';
import { copyOut, isCopyOut, RowMemory } from './copy-out.ts';
import { messageSocket } from './message-socket.ts';
import type { Database } from './schema.ts';

export type DatabaseOptions = {
  /** postgres://user@host/name; a folder with a Unix socket as `?host=/folder`. */
  readonly url: string;
  /**
   * A file that has such a URL too. It is read again for each new connection, so that a password can be rotated while
   * we run; connections that are open stay.
   */
  readonly urlFile?: string | null;
  /** Seen in pg_stat_activity. */
  readonly applicationName?: string;
  /** Connections of the pool; those of `connect` come on top. */
  readonly maxConnections?: number;
  /** Hears what happens to connections that nobody is waiting on; the next use connects again. */
  readonly onConnectionError?: (error: Error) => void;
  /** Hears of each statement of the pool when it is done. */
  readonly onQuery?: (query: CompiledQuery) => void;
};

export interface PostgresDatabase extends AsyncDisposable {
  readonly db: Kysely<Database>;
  readonly counts: () => { readonly idle: number; readonly busy: number; readonly waiting: number };
  /**
   * Grows with each connection that the pool opens, ends or loses. While it stays the same it is the same server that
   * answers; afterwards it may be a replica that lacks the last commits.
   */
  readonly generation: () => number;
  /** A connection beside the pool, connected; its owner ends it. `settings` are server settings of its session. */
  connect(purpose: string, settings?: Readonly<Record<string, string>>): Promise<pg.Client>;
}

const connectTimeoutMs = 5_000;
const defaultSettings: Readonly<Record<string, string>> = {
  // Milliseconds; none of our statements takes so long.
  statement_timeout: '120000',
  // A transaction that waits for us: its connection was lost without a word, or we have a bug.
  idle_in_transaction_session_timeout: '60000',
};

const typeId = { int8: 20, int8Array: 1016, date: 1082 } as const;

const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  [typeId.int8]: BigInt,
  [typeId.int8Array]: (text: string) => (text === '{}' ? [] : text.slice(1, -1).split(',').map(BigInt)),
  [typeId.date]: (text: string) => text,
};

const getTypeParser: typeof pg.types.getTypeParser = (id, format) =>
  parsers[id as number] ?? (pg.types.getTypeParser(id, format) as unknown);

const types: pg.CustomTypesConfig = { getTypeParser };

/** Opens nothing yet: the first query connects. */
export function createDatabase(options: DatabaseOptions): PostgresDatabase {
  const name = options.applicationName ?? 'postrider';
  const onConnectionError = options.onConnectionError ?? (() => undefined);
  const currentUrl = urlReader(options);
  const config: pg.ClientConfig = {
    types,
    stream: streamFor as () => Socket,
    keepAlive: true,
    keepAliveInitialDelayMillis: 30_000,
    connectionTimeoutMillis: connectTimeoutMs,
  };
  const pool = new pg.Pool({
    ...config,
    application_name: name,
    // A statement's plan is made once a connection: planning costs more than most of them take, and they are written so
    // that their parameters make no better plan.
    options: formatSettings({ ...defaultSettings, plan_cache_mode: 'force_generic_plan' }),
    max: options.maxConnections ?? 10,
  });
  // The pool makes each client from its options.
  Object.defineProperty(pool.options, 'connectionString', { get: currentUrl, enumerable: true });
  pool.on('error', onConnectionError);
  // The pool listens to its idle connections only; an error of one in use must not end the process either.
  pool.on('connect', (client) => client.on('error', onConnectionError));
  let generation = 0;
  for (const event of ['connect', 'remove'] as const) pool.on(event, () => (generation += 1));
  const { onQuery } = options;
  const db = new Kysely<Database>({
    dialect: new PostgresDialect({ pool: namingPool(pool) }),
    ...(onQuery && { log: ({ query }) => onQuery(query) }),
  });
  return {
    db,
    counts: () => ({
      idle: pool.idleCount,
      busy: pool.totalCount - pool.idleCount,
      waiting: pool.waitingCount,
    }),
    generation: () => generation,
    async connect(purpose, settings = {}) {
      const client = new pg.Client({
        ...config,
        connectionString: currentUrl(),
        application_name: `${name} ${purpose}`,
        options: formatSettings({ ...defaultSettings, ...settings }),
      });
      client.on('error', onConnectionError);
      await client.connect();
      return client;
    },
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}

/** node-pg makes TLS of a socket itself. */
function streamFor({ ssl }: { readonly ssl?: unknown }): Socket {
  return ssl ? new Socket() : messageSocket();
}

/** The URL in force now; what it was while the file can't be read, as when it is being replaced. */
function urlReader({ url, urlFile }: DatabaseOptions): () => string {
  if (urlFile === undefined || urlFile === null) return () => url;
  let known = url;
  return () => {
    try {
      known = readFileSync(urlFile, 'utf8').trim() || known;
    } catch {
      // Tried again with the next connection.
    }
    return known;
  };
}

function formatSettings(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([key, value]) => `-c ${key}=${value}`)
    .join(' ');
}

/** A statement that begins so is prepared once a connection under that name: for texts that never vary. */
const namedStatement = /^\s*\/\*([a-z-]+)\*\//;

/** Kysely has no word for named statements; a comment at their head gives them a name here. */
function namingPool(pool: pg.Pool): PostgresPool {
  const clients = new WeakMap<pg.PoolClient, PostgresPoolClient>();
  return {
    options: pool.options,
    end: () => pool.end(),
    async connect() {
      const client = await pool.connect();
      let naming = clients.get(client);
      if (!naming) {
        naming = namingClient(client);
        clients.set(client, naming);
      }
      return naming;
    },
  };
}

function namingClient(client: pg.PoolClient): PostgresPoolClient {
  const query = (text: string, values: readonly unknown[]): Promise<pg.QueryResult> => {
    if (isCopyOut(text)) {
      const memory = values[0] instanceof RowMemory ? values[0] : null;
      return copyOut(client, text, memory) as Promise<unknown> as Promise<pg.QueryResult>;
    }
    const name = namedStatement.exec(text)?.[1];
    return client.query({ text, values: [...values], ...(name !== undefined && { name }) });
  };
  return {
    query: query as unknown as PostgresPoolClient['query'],
    release: (destroy) => client.release(destroy),
  };
}
