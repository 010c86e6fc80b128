/** Routes are tried now and then, each by one process at a time; what came of it stands in Postgres, for the operator. */
import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Route, TargetProbe, TargetProber } from '#server/mail/outbound-routes.ts';
import type { PgMailRoutes } from './pg-mail-routes.ts';
import { Rereading } from './rereading.ts';

/** Of a route that has not changed, in seconds; a changed one is tried in the next round. */
const againAfterSeconds = 5 * 60;
/** Each has 32 targets at most, which are tried side by side. */
const routesARound = 4;

export type PgRouteProbesOptions = {
  readonly db: Kysely<Database>;
  readonly routes: Pick<PgMailRoutes, 'routes' | 'reread'>;
  readonly prober: TargetProber;
  readonly logger: Logger;
  /** Between two rounds, in ms; 5 s unless told. */
  readonly everyMs?: number;
};

type Taken = { readonly uid: string; readonly name: string; readonly specHash: string; readonly secretTag: Buffer };

/** Tries routes until it is disposed of; nobody waits for the first round. */
export async function openPgRouteProbes(options: PgRouteProbesOptions): Promise<AsyncDisposable> {
  const { logger, everyMs = 5_000 } = options;
  const stopping = new AbortController();
  let isStarting = true;
  const rounds = new Rereading({
    what: 'probes of routes',
    logger,
    everyMs,
    read: async () => {
      if (!isStarting) await probeRound(options, stopping.signal);
      isStarting = false;
    },
  });
  await rounds.start();
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await rounds[Symbol.asyncDispose]();
    },
  };
}

export async function probeRound({ db, routes, prober }: PgRouteProbesOptions, signal: AbortSignal): Promise<void> {
  const taken = await take(db);
  if (taken.length === 0) return;
  // What is tried must be as new as what was taken.
  await routes.reread();
  const byName = new Map(routes.routes.map((route) => [route.name, route]));
  await Promise.all(
    taken.map(async (row) => {
      const route = byName.get(row.name);
      if (route) await settle(db, row, await probeRoute(prober, route, signal), signal);
    }),
  );
}

function probeRoute(prober: TargetProber, { targets }: Route, signal: AbortSignal): Promise<readonly TargetProbe[]> {
  return Promise.all(targets.map((target) => prober.probe(target, signal)));
}

/** Routes that changed, or were tried long ago. Whoever took one and died is replaced when its time is over. */
async function take(db: Kysely<Database>): Promise<readonly Taken[]> {
  const { rows } = await sql<Taken>`
    with due as (
      select r.resource_uid, r.resource_name, r.spec_hash, r.secret_tag
      from mail_route r left join mail_route_probe p on p.resource_uid = r.resource_uid
      where p.resource_uid is null or p.spec_hash <> r.spec_hash or p.secret_tag <> r.secret_tag
        or p.taken_at < now() - make_interval(secs => ${againAfterSeconds})
      order by p.taken_at nulls first
      limit ${routesARound}
    ), taken as (
      insert into mail_route_probe as p (resource_uid, spec_hash, secret_tag, taken_at)
      select resource_uid, spec_hash, secret_tag, now() from due
      on conflict (resource_uid) do update
        set spec_hash = excluded.spec_hash, secret_tag = excluded.secret_tag, taken_at = excluded.taken_at,
          probed_at = case when p.spec_hash = excluded.spec_hash and p.secret_tag = excluded.secret_tag then p.probed_at end
        where p.spec_hash <> excluded.spec_hash or p.secret_tag <> excluded.secret_tag
          or p.taken_at < now() - make_interval(secs => ${againAfterSeconds})
      returning p.resource_uid
    )
    select resource_uid as uid, resource_name as name, spec_hash as "specHash", secret_tag as "secretTag"
    from due join taken using (resource_uid)`.execute(db);
  return rows;
}

/** What was cut off by our own end says nothing of the route. */
async function settle(
  db: Kysely<Database>,
  { uid, specHash, secretTag }: Taken,
  probes: readonly TargetProbe[],
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  await db
    .updateTable('mail_route_probe')
    .set({ probed_at: sql<Date>`now()`, targets: JSON.stringify(probes) })
    .where('resource_uid', '=', uid)
    .where('spec_hash', '=', specHash)
    .where('secret_tag', '=', secretTag)
    .execute();
}
