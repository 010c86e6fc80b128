/** What the database does under a row: pg_stat_statements for the times, auto_explain for the plans. */
import { readFile, stat } from 'node:fs/promises';
import pg from 'pg';

export type Statement = {
  readonly query: string;
  readonly calls: number;
  readonly totalMs: number;
  readonly planMs: number;
  readonly rows: number;
  readonly walBytes: number;
};

const shown = 8;
const maxPlans = 5;

/** Takes effect at the server's next start. False: this Postgres does not have the modules. */
export async function enableStatistics(url: string): Promise<boolean> {
  return withClient(url, async (client) => {
    const { rowCount } = await client.query("select 1 from pg_available_extensions where name = 'pg_stat_statements'");
    if (rowCount === 0) return false;
    for (const [name, value] of Object.entries({
      shared_preload_libraries: "pg_stat_statements', 'auto_explain",
      'pg_stat_statements.track': 'all',
      'pg_stat_statements.track_planning': 'on',
      track_io_timing: 'on',
    })) {
      await client.query(`alter system set ${name} = '${value}'`);
    }
    return true;
  });
}

export async function resetStatistics(url: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query('create extension if not exists pg_stat_statements');
    await client.query('select pg_stat_statements_reset()');
  });
}

export async function topStatements(url: string): Promise<readonly Statement[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<Record<string, string>>(
      `select query, calls, total_exec_time + total_plan_time as total_exec_time, total_plan_time, rows, wal_bytes from pg_stat_statements
        where query not ilike '%pg_stat_statements%' order by 3 desc limit ${shown}`,
    );
    return rows.map((row) => ({
      query: (row['query'] ?? '').replaceAll(/\s+/g, ' '),
      calls: Number(row['calls']),
      totalMs: Number(row['total_exec_time']),
      planMs: Number(row['total_plan_time']),
      rows: Number(row['rows']),
      walBytes: Number(row['wal_bytes']),
    }));
  });
}

/** Has the plans of statements of at least `ms` written to the log, those inside functions too. */
export async function logPlans(url: string, ms: number | 'off'): Promise<void> {
  await withClient(url, async (client) => {
    const settings = {
      'auto_explain.log_min_duration': ms === 'off' ? '-1' : String(ms),
      'auto_explain.log_nested_statements': 'on',
      'auto_explain.log_analyze': 'on',
      'auto_explain.log_buffers': 'on',
      'auto_explain.log_timing': 'on',
    };
    for (const [name, value] of Object.entries(settings)) await client.query(`alter system set ${name} = '${value}'`);
    await client.query('select pg_reload_conf()');
  });
}

export async function sizeOf(file: string): Promise<number> {
  return (await stat(file)).size;
}

/** The slowest plan of each statement that was logged from this place of the file on. */
export async function plansSince(file: string, from: number): Promise<readonly string[]> {
  return slowestPlans((await readFile(file, 'utf8')).slice(from));
}

/** Entries of auto_explain, one a statement: the slowest, longest duration first. */
export function slowestPlans(log: string): readonly string[] {
  const slowest = new Map<string, { ms: number; text: string }>();
  for (const entry of log.split(/^(?=\d{4}-\d\d-\d\d )/m)) {
    const found = /duration: ([\d.]+) ms {2}plan:\n(.*)/s.exec(entry);
    if (!found) continue;
    const [, duration = '0', text = ''] = found;
    const statement = /Query Text: (.*?)(?=\n\t*[A-Z][a-zA-Z ]*.*\(cost=)/s.exec(text)?.[1] ?? text.slice(0, 200);
    const ms = Number(duration);
    if ((slowest.get(statement)?.ms ?? -1) < ms)
      slowest.set(statement, { ms, text: `${duration} ms\n${text.trimEnd()}` });
  }
  const all = [...slowest.values()].sort((a, b) => b.ms - a.ms);
  return all.slice(0, maxPlans).map(({ text }) => text);
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
