/**
 * LISTEN and NOTIFY, each on a connection of its own: a transaction that carries a NOTIFY would make every other
 * commit of the database wait for its own. Notifications are hints: what is sent while nobody is connected is
 * lost, and who listens is told so (`gap`).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { PostgresDatabase } from './client.ts';

/** Postgres takes payloads of less than 8000 bytes. */
export const maxPayloadBytes = 7900;

const keepaliveMs = 20_000;
const keepaliveTimeoutMs = 5_000;
const maxBackoffMs = 5_000;

export type ChannelListener = {
  readonly heard: (payload: string) => void;
  /** The connection was made, for the first time or again: notifications may have been missed. */
  readonly gap: () => void;
};

export type ListenOptions = {
  readonly database: PostgresDatabase;
  /** An identifier. */
  readonly channel: string;
  readonly listener: ChannelListener;
  readonly onError?: (error: unknown) => void;
};

/** Listens until disposed of, and connects again whenever the connection is lost. */
export function listen({ database, channel, listener, onError }: ListenOptions): AsyncDisposable {
  const abort = new AbortController();
  const { signal } = abort;
  const run = async (): Promise<void> => {
    for (let failures = 0; !signal.aborted;) {
      try {
        const client = await database.connect('listen');
        try {
          client.on('notification', ({ payload }) => listener.heard(payload ?? ''));
          await client.query(`listen ${channel}`);
          failures = 0;
          listener.gap();
          await watch(client, signal);
        } finally {
          void client.end().catch(() => undefined);
        }
      } catch (error) {
        if (!signal.aborted) onError?.(error);
      }
      await pause(Math.min(maxBackoffMs, 50 * 2 ** failures++), signal);
    }
  };
  const running = run();
  return {
    async [Symbol.asyncDispose]() {
      abort.abort();
      await running;
    },
  };
}

/** Resolves or rejects when the connection is of no use any more. A silent one is found by asking it. */
async function watch(client: pg.Client, signal: AbortSignal): Promise<void> {
  const ended = new AbortController();
  client.once('end', () => ended.abort());
  const either = AbortSignal.any([signal, ended.signal]);
  while (!either.aborted) {
    await pause(keepaliveMs, either);
    if (!either.aborted) await client.query({ text: 'select 1', query_timeout: keepaliveTimeoutMs } as pg.QueryConfig);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  // Aborted: the caller looks at the signal.
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
}

/** Sends notifications, connecting when there is one to send. */
export class Notifier implements AsyncDisposable {
  readonly #database: PostgresDatabase;
  readonly #channel: string;
  #client: pg.Client | null = null;

  constructor(database: PostgresDatabase, channel: string) {
    this.#database = database;
    this.#channel = channel;
  }

  /** One at a time. Rejects when they may not have been sent. Each payload has at most `maxPayloadBytes`. */
  async send(payloads: readonly string[]): Promise<void> {
    const client = await this.#connection();
    try {
      await client.query({
        name: 'notify',
        text: 'select pg_notify($1, payload) from unnest($2::text[]) payload',
        values: [this.#channel, [...payloads]],
        query_timeout: keepaliveTimeoutMs,
      } as pg.QueryConfig);
    } catch (error) {
      this.#client = null;
      void client.end().catch(() => undefined);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.end();
  }

  async #connection(): Promise<pg.Client> {
    if (this.#client) return this.#client;
    // What it tells of is committed and durable already; the telling itself need not outlive a crash, nor wait for the disk.
    const client = await this.#database.connect('notify', { synchronous_commit: 'off' });
    client.once('end', () => {
      if (this.#client === client) this.#client = null;
    });
    this.#client = client;
    return client;
  }
}
