/** The routes as the directory has them, read again every few seconds: routing never waits for the database. */
import type { Kysely, Selectable } from 'kysely';
import { z } from 'zod';
import type { Database } from '#shared/db/schema.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Credentials, Egress, Route, RouteSource, RouteTarget, TlsDemand } from '#server/mail/outbound-routes.ts';
import { Rereading } from './rereading.ts';

/** The keyring's context for a route's secrets; shared/provisioning/mail-route-wanted.ts seals them. */
function sealContext(uid: string): string {
  return `mail-route ${uid} secrets`;
}

const optional = z.string().nullable();
const targetSecrets = z.object({
  username: optional,
  password: optional,
  ca: optional,
  key: optional,
  socksUsername: optional,
  socksPassword: optional,
});
type TargetSecrets = z.output<typeof targetSecrets>;

const base = { priority: z.number(), weight: z.number() };
const egress = {
  sourceAddresses: z.array(z.string()),
  socks: z.object({ address: z.string(), port: z.number() }).optional(),
};
const tls = z.object({ mode: z.enum(['Opportunistic', 'Required', 'Implicit', 'DANE', 'MTASTS', 'Disabled']) });
const hostTarget = { ...base, ...egress, host: z.string(), port: z.number(), tls };

/** What the planner wrote; a newer one may have written more, or a target that this server doesn't know. */
const storedSpec = z.object({
  targets: z.array(
    z.discriminatedUnion('type', [
      z.object({
        type: z.literal('Direct'),
        ...base,
        ...egress,
        port: z.number(),
        tls,
        allowedNetworks: z.array(z.string()),
      }),
      z.object({ type: z.literal('Smarthost'), ...hostTarget }),
      z.object({ type: z.literal('LMTP'), ...hostTarget }),
      z.object({ type: z.literal('HTTP'), ...base, url: z.string() }),
      z.object({ type: z.literal('Capture'), ...base }),
    ]),
  ),
  maxConnections: z.number(),
  messagesPerMinute: z.number().nullable(),
});
type StoredTarget = z.output<typeof storedSpec>['targets'][number];

export type PgMailRoutesOptions = {
  readonly db: Kysely<Database>;
  readonly keyring: Keyring;
  readonly logger: Logger;
  /** Between two readings, in ms; 10 s unless told. */
  readonly everyMs?: number;
};

export interface PgMailRoutes extends RouteSource, AsyncDisposable {
  /** Reads them now. */
  reread(): Promise<void>;
}

/** Resolves when they have been read once; rejects where the database can't be read. */
export async function openPgMailRoutes({ db, keyring, logger, everyMs }: PgMailRoutesOptions): Promise<PgMailRoutes> {
  let routes: readonly Route[] = [];
  const rereading = new Rereading({
    what: 'routes',
    logger,
    everyMs: everyMs ?? 10_000,
    read: async () => {
      routes = await readRoutes(db, keyring, logger);
    },
  });
  await rereading.start();
  return {
    get routes() {
      return routes;
    },
    reread: () => rereading.now(),
    [Symbol.asyncDispose]: () => rereading[Symbol.asyncDispose](),
  };
}

async function readRoutes(db: Kysely<Database>, keyring: Keyring, logger: Logger): Promise<readonly Route[]> {
  const rows = await db.selectFrom('mail_route').selectAll().orderBy('priority').orderBy('resource_name').execute();
  return rows.map((row) => toRoute(row, keyring, logger));
}

function toRoute(row: Selectable<Database['mail_route']>, keyring: Keyring, logger: Logger): Route {
  const rest = {
    name: row.resource_name,
    priority: row.priority,
    senderDomains: row.sender_domains,
    recipientDomains: row.recipient_domains,
  };
  try {
    const spec = storedSpec.parse(row.spec);
    const sealed = row.secrets && { keyId: row.seal_key_id, bytes: row.secrets };
    const opened = sealed ? keyring.open(sealed, sealContext(row.resource_uid)).toString() : '[]';
    const secrets = z.array(targetSecrets).parse(JSON.parse(opened));
    const targets = spec.targets.map((target, i) => toTarget(target, secrets[i] ?? null));
    return { ...rest, targets, maxConnections: spec.maxConnections, messagesPerMinute: spec.messagesPerMinute };
  } catch (error) {
    // Mail that it would have taken must not go another way: the route stays, and nothing goes through it.
    const reason = error instanceof z.ZodError ? 'it is of a newer version' : 'its secrets do not open';
    logger.error({ event: 'route.unusable', route: row.resource_name, reason }, 'a route can not be used');
    return { ...rest, targets: [], maxConnections: 1, messagesPerMinute: null };
  }
}

function toTarget(target: StoredTarget, secrets: TargetSecrets | null): RouteTarget {
  const { priority, weight } = target;
  switch (target.type) {
    case 'Direct': {
      const { port, allowedNetworks } = target;
      const demand = toDemand(target.tls.mode);
      return {
        kind: 'direct',
        priority,
        weight,
        port,
        tls: demand,
        allowedNetworks,
        egress: toEgress(target, secrets),
      };
    }
    case 'Smarthost':
    case 'LMTP':
      return {
        kind: target.type === 'LMTP' ? 'lmtp' : 'smarthost',
        priority,
        weight,
        host: target.host,
        port: target.port,
        tls: toDemand(target.tls.mode),
        ca: secrets?.ca ?? null,
        credentials: toCredentials(secrets?.username, secrets?.password),
        egress: toEgress(target, secrets),
      };
    case 'HTTP': {
      const key = secrets?.key;
      return {
        kind: 'http',
        priority,
        weight,
        url: target.url,
        key: typeof key === 'string' ? Buffer.from(key) : null,
      };
    }
    case 'Capture':
      return { kind: 'capture', priority, weight };
    default:
      return target satisfies never;
  }
}

function toEgress(
  { sourceAddresses, socks }: Extract<StoredTarget, { sourceAddresses: unknown }>,
  secrets: TargetSecrets | null,
): Egress {
  const credentials = toCredentials(secrets?.socksUsername, secrets?.socksPassword);
  return { sourceAddresses, socks: socks ? { ...socks, credentials } : null };
}

function toCredentials(user: string | null | undefined, password: string | null | undefined): Credentials | null {
  return typeof user === 'string' && typeof password === 'string' ? { user, password } : null;
}

function toDemand(mode: z.output<typeof tls>['mode']): TlsDemand {
  const demands = {
    Opportunistic: 'opportunistic',
    Required: 'required',
    Implicit: 'implicit',
    DANE: 'dane',
    MTASTS: 'mta-sts',
    Disabled: 'disabled',
  } as const;
  return demands[mode];
}
