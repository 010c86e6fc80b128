/** What our users send and what comes back of it, put together: rules, limits, signatures, bounces, suppression. */
import type { DNSResolver } from 'mailauth';
import type { Clock } from '#shared/base/clock.ts';
import type { AccountId } from '#shared/base/ids.ts';
import type { ServerConfig } from '#shared/config/server-config.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import { formatAddress } from '#shared/text/address.ts';
import { createBounceAddresses } from './bounce/bounce-address.ts';
import { createInboundReports, type InboundReports } from './bounce/inbound-reports.ts';
import { createNotices, type NoticesOptions } from './bounce/notices.ts';
import { createReplyRules } from './bounce/reply-rules.ts';
import { createSuppressionList, type SuppressionList } from './bounce/suppression.ts';
import type { Resolver } from '#shared/dns/answer.ts';
import { callbackResolver } from '#shared/dns/callback-resolver.ts';
import type { MailAcceptor, Notices, ReplyRules, SevenBitMessages } from './mail/outbound-ports.ts';
import type { RecipientDirectory } from './mail/ports.ts';
import { createArcSealer, type ArcSealer } from './signing/arc-sealer.ts';
import { createSigner, type Signer } from './signing/dkim-signer.ts';
import { createSevenBitMessages } from './signing/seven-bit-messages.ts';
import { SigningKeys } from './signing/signing-keys.ts';
import { directoryFault } from './store/directory-fault.ts';
import { createSendingLimits } from './submission/sending-limits.ts';
import { createSubmission, type Submission } from './submission/submit.ts';

export type SendingParts = {
  readonly config: ServerConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'notices' | 'dkimSignatures' | 'reportsReceived' | 'suppressions'>;
  readonly database: PostgresDatabase;
  readonly keyring: Keyring;
  readonly directory: RecipientDirectory;
  readonly createSpool: NoticesOptions['createSpool'];
  readonly resolver: Resolver;
};

export interface SendingService {
  readonly reports: InboundReports;
  readonly notices: Notices;
  readonly rules: ReplyRules;
  readonly suppression: SuppressionList;
  readonly sevenBit: SevenBitMessages;
  readonly sealer: ArcSealer;
  openSubmission(acceptor: MailAcceptor): Submission;
}

export function createSendingService(parts: SendingParts): SendingService {
  const { config, clock, logger, metrics, database, keyring, directory, createSpool, resolver } = parts;
  const addresses = createBounceAddresses(keyring, clock);
  const suppression = createSuppressionList(database.db, {
    onAdded: ({ domain, address, origin, reason }) => {
      metrics.suppressions.inc({ origin });
      const entry = { domain, address, origin, reason };
      logger.info({ event: 'suppression.added', ...entry }, 'nothing more is sent to an address');
    },
  });
  const keys = new SigningKeys(database.db, keyring, clock);
  const signer = countedSigner(createSigner(keys, clock), metrics);
  const notices = counted(createNotices({ hostname: config.hostname, clock, createSpool }), metrics);
  return {
    reports: createInboundReports({
      addresses,
      suppression,
      onReport: (kind, isMatched) => metrics.reportsReceived.inc({ kind, matched: isMatched ? 'yes' : 'no' }),
      addressOf: (id) => addressOf(database, id),
    }),
    notices,
    rules: createReplyRules(),
    suppression,
    sevenBit: createSevenBitMessages({ signer, createSpool }),
    // mailauth's type has rows of texts alone; for MX, say, it takes what node:dns gives.
    sealer: createArcSealer({ keys, resolver: callbackResolver(resolver) as DNSResolver, logger }),
    openSubmission: (acceptor) =>
      createSubmission({
        acceptor,
        directory,
        limits: createSendingLimits(database.db, {
          hour: config.sendingPerHour,
          day: config.sendingPerDay,
          new: config.newRecipientsPerDay,
        }),
        signer,
        bounceAddresses: config.bounceAddresses ? addresses : null,
        notices,
        logger,
      }),
  };
}

function counted(notices: Notices, metrics: SendingParts['metrics']): Notices {
  return {
    async build(notice) {
      const built = await notices.build(notice);
      metrics.notices.inc({ kind: notice.kind });
      return built;
    },
  };
}

function countedSigner(signer: Signer, metrics: SendingParts['metrics']): Signer {
  return {
    async sign(message, domain, at) {
      const fields = await signer.sign(message, domain, at);
      metrics.dkimSignatures.inc({ outcome: fields.length > 0 ? 'signed' : 'unsigned' });
      return fields;
    },
  };
}

async function addressOf({ db }: PostgresDatabase, accountId: AccountId): Promise<string | null> {
  try {
    const row = await db
      .selectFrom('account')
      .innerJoin('domain', 'domain.id', 'account.domain_id')
      .select(['account.local_part', 'domain.name'])
      .where('account.id', '=', accountId)
      .where('account.retained_at', 'is', null)
      .executeTakeFirst();
    return row === undefined ? null : formatAddress({ localPart: row.local_part, domain: row.name });
  } catch (error) {
    throw directoryFault(error);
  }
}
