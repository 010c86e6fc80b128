/** Storage, directory and logins on Postgres, and the mail listeners that are made of them. */
import { dataPaths, type ServerConfig } from '#shared/config/server-config.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { findKeyAuthorization } from '#shared/directory/acme-challenges.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import { ChallengeListener } from './acme/challenge-listener.ts';
import { createAuthenticator } from './accounts/password-authenticator.ts';
import type { TokenIssuer } from './accounts/token-logins.ts';
import { openResolver } from './dns-service.ts';
import type { Foundation } from './foundation.ts';
import { defaultImapPolicy, type ImapServices } from './imap/state/services.ts';
import { ImapListener } from './imap/session/imap-listener.ts';
import type { Drainable } from './lifecycle.ts';
import type { PlannedListener } from './listener-plan.ts';
import type { ChangeHint } from './mail/ports.ts';
import { networkMatcher } from '#shared/dns/networks.ts';
import type { ClientAddresses } from './instance/client-addresses.ts';
import { MessageScanner } from './mime/message-scanner.ts';
import { openOutbound, type OutboundFacts } from './outbound-service.ts';
import { createSendingService } from './sending-service.ts';
import { createSmtpListener, type SmtpServices } from './smtp/smtp-listener.ts';
import { defaultSmtpOptions, type SmtpOptions } from './smtp/smtp-options.ts';
import { createPgLoginDirectory } from './store/pg-directory-logins.ts';
import { createPgDirectory } from './store/pg-directory.ts';
import { PgChangeFeed } from './store/pg-change-feed.ts';
import { Janitor } from './store/pg-janitor.ts';
import { PgMailStore } from './store/pg-mail-store.ts';
import { SearchIndexer } from './store/pg-search-indexer.ts';
import { createPgScramDirectory } from './store/pg-scram.ts';
import type { ClientFront } from './wire/client-front.ts';
import { SpoolArea } from './wire/spool.ts';
import type { TlsContext } from './wire/tls-context.ts';

/**
 * Mail often comes to one address again and again: for so long an account that takes it is not asked for anew. What the
 * operator changes is in force so much later, as for a sender whose RCPT was accepted before.
 */
const recipientKeepMs = 250;

/** A listener that is open. */
export interface OpenListener extends Drainable {
  readonly port: number;
}

export interface MailService {
  /** ProgramFault 78 where the port can't be had. */
  open(plan: PlannedListener): Promise<OpenListener>;
  /** Works on the outbound queue; null: this process does not send. */
  readonly outbound: Drainable | null;
  readonly outboundFacts: () => OutboundFacts;
}

export type MailServiceParts = {
  readonly database: PostgresDatabase;
  readonly keyring: Keyring;
  readonly tls: TlsContext;
  readonly clients: ClientAddresses;
};

export async function openMailService(
  foundation: Foundation,
  { database, keyring, tls, clients }: MailServiceParts,
): Promise<MailService> {
  const { config, logger, clock, metrics, stack } = foundation;
  const { store, feed, tell } = openStore(foundation, database);
  const authenticator = stack.use(
    createAuthenticator({
      directory: createPgLoginDirectory(database.db),
      clock,
      logger,
      metrics,
      developmentMode: config.developmentMode,
      scram: { directory: createPgScramDirectory(database.db, keyring), keyring },
      issuer: tokenIssuer(config),
    }),
  );
  const spools = await SpoolArea.open({
    directory: dataPaths(config).spool,
    maxMemoryBytes: config.spoolMemoryBytes,
    createIndexer: () => new MessageScanner(),
    onFileBytes: (change) => metrics.spoolBytes.inc(change),
  });
  const directory = stack.use(createPgDirectory(database, recipientKeepMs));
  const resolver = await openResolver(foundation);
  const sending = createSendingService({
    config,
    clock,
    logger,
    metrics,
    database,
    keyring,
    directory,
    createSpool: (maxBytes) => spools.createSpool(maxBytes),
    resolver,
  });
  const outbound = await openOutbound(foundation, { database, resolver, keyring, store, directory, sending, tell });
  const smtp: SmtpServices = {
    store,
    spools,
    directory,
    authenticator,
    submission: sending.openSubmission(outbound.acceptor),
    acceptor: outbound.acceptor,
    reports: sending.reports,
    sealer: sending.sealer,
    tls,
    clock,
    logger,
    metrics,
  };
  const imap: ImapServices = {
    store,
    feed,
    authenticator,
    tls,
    createSpool: (maxBytes) => spools.createSpool(maxBytes),
    clock,
    logger,
    metrics,
    policy: {
      ...defaultImapPolicy,
      allowCleartextLogin: config.developmentMode,
      maxMessageBytes: config.maxMessageBytes,
    },
  };
  return {
    outbound: outbound.worker,
    outboundFacts: outbound.facts,
    open: (plan) => {
      const front = clientFront(plan, foundation, clients);
      if (plan.name === 'acme') return openChallenges(plan, database, foundation, front);
      return plan.name === 'imap' || plan.name === 'imaps'
        ? openImap(plan, imap, foundation, front)
        : openSmtp({ ...smtpOptions(plan, foundation), front }, smtp);
    },
  };
}

type OpenStore = {
  readonly store: PgMailStore;
  readonly feed: PgChangeFeed;
  /** Hears of every committed change of an account. */
  readonly tell: (hint: ChangeHint) => void;
};

function openStore({ config, logger, metrics, stack }: Foundation, database: PostgresDatabase): OpenStore {
  const feed = stack.use(
    new PgChangeFeed({
      database,
      metrics,
      onError: (err) => logger.warn({ event: 'feed.error', err }, 'change notifications are interrupted'),
    }),
  );
  const indexer = stack.use(
    new SearchIndexer({
      database,
      metrics,
      onError: (err) => logger.warn({ event: 'search.failed', err }, 'the search index could not be filled'),
    }),
  );
  const tell = (hint: ChangeHint): void => {
    feed.tell(hint);
    indexer.hear(hint.accountId);
  };
  const store = stack.use(new PgMailStore({ database, metrics, tell }));
  if (config.roles.includes('janitor')) {
    indexer.start();
    const onError = (err: unknown): void => logger.warn({ event: 'janitor.failed', err }, 'a clean-up failed');
    stack.use(new Janitor({ database, metrics, onError })).start();
  }
  return { store, feed, tell };
}

/** Null: no access token opens an account. */
function tokenIssuer({ oauthIssuer, oauthAudience, oauthJwksUrl, oauthLoginClaim }: ServerConfig): TokenIssuer | null {
  if (oauthIssuer === null || oauthAudience === null) return null;
  return { issuer: oauthIssuer, audience: oauthAudience, jwksUrl: oauthJwksUrl, loginClaim: oauthLoginClaim };
}

function clientFront(
  { name, isBalanced }: PlannedListener,
  { config, logger }: Foundation,
  clients: ClientAddresses,
): ClientFront {
  return {
    isBalancer:
      isBalanced && config.proxyProtocolNetworks.length > 0 ? networkMatcher(config.proxyProtocolNetworks) : null,
    sawClient: (address) => clients.saw(address),
    onBadHeader: (balancer, reason) =>
      logger.warn(
        { event: 'conn.no-proxy-header', listener: name, balancer, reason },
        'dropped a connection of a load balancer (PROXY_PROTOCOL_NETWORKS) without its header',
      ),
  };
}

/** Connections to the port of challenges at a time: an authority opens a few. */
const maxAcmeConnections = 200;

async function openChallenges(
  { host, port }: PlannedListener,
  { db }: PostgresDatabase,
  { config, logger, metrics }: Foundation,
  front: ClientFront,
): Promise<OpenListener> {
  const listener = await ChallengeListener.open({
    host,
    port,
    maxConnections: Math.min(maxAcmeConnections, config.maxConnections),
    maxConnectionsPerAddress: config.maxConnectionsPerAddress,
    front,
    logger,
    metrics,
    find: (token) => findKeyAuthorization(db, token),
  });
  return { name: 'acme', port: listener.port, stop: (graceMs) => listener.stop(graceMs) };
}

async function openImap(
  plan: PlannedListener,
  services: ImapServices,
  { config }: Foundation,
  front: ClientFront,
): Promise<OpenListener> {
  const { maxConnections, maxConnectionsPerAddress } = config;
  const { name, host, port, tls } = plan;
  const listener = await ImapListener.open(services, {
    host,
    port,
    implicitTls: tls === 'implicit',
    maxConnections,
    maxConnectionsPerAddress,
    front,
  });
  return { name, port: listener.port, stop: (graceMs) => listener.close(graceMs) };
}

async function openSmtp(options: SmtpOptions, services: SmtpServices): Promise<OpenListener> {
  const listener = createSmtpListener(options, services);
  await listener.start();
  return { name: options.name, port: listener.port, stop: (graceMs) => listener.stop(graceMs) };
}

function smtpOptions({ name, host, port, tls }: PlannedListener, { config }: Foundation): SmtpOptions {
  const { hostname, developmentMode, maxMessageBytes, maxConnections, maxConnectionsPerAddress } = config;
  return {
    ...defaultSmtpOptions,
    name,
    kind: name === 'mx' ? 'mx' : 'submission',
    tls: tls === 'implicit' ? 'implicit' : 'starttls',
    host,
    port,
    hostname,
    postmaster: config.postmasterAddress ?? `postmaster@${hostname}`,
    developmentMode,
    normaliseLineEndings: config.bareNewlines === 'normalise',
    maxMessageBytes,
    maxConnections,
    maxConnectionsPerAddress,
  };
}
