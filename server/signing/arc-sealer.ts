/**
 * Seals mail that is sent on (ARC, RFC 8617): says what SPF, DKIM and DMARC came to here, since on the way further SPF
 * fails and, where something was added, DKIM too. Both are mailauth's work.
 */
import { Readable } from 'node:stream';
import { authenticate, type DNSResolver } from 'mailauth';
import type { Logger } from '#shared/observe/logger.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import type { SigningKeys } from './signing-keys.ts';

/** How a message came. */
export type Arrival = {
  readonly remoteAddress: string;
  readonly helo: string | null;
  /** As in MAIL; empty for a bounce. */
  readonly sender: string;
  readonly hostname: string;
};

export interface ArcSealer {
  /**
   * ARC fields for the domain that sends the message on, Authentication-Results and Received-SPF, each with CRLF. None
   * where the domain has no key, the message's chain is broken already, or its DNS does not answer in time: the message
   * goes on without. Never rejects.
   */
  seal(message: SpooledMessage, arrival: Arrival, domain: string): Promise<Buffer>;
}

export type ArcSealerOptions = {
  readonly keys: Pick<SigningKeys, 'of'>;
  readonly resolver: DNSResolver;
  readonly logger: Logger;
  /** The sender of the message waits for it; 10 s unless told. */
  readonly timeoutMs?: number;
};

export function createArcSealer(options: ArcSealerOptions): ArcSealer {
  return {
    async seal(message, arrival, domain) {
      const waited = Promise.withResolvers<null>();
      const timer = setTimeout(() => waited.resolve(null), options.timeoutMs ?? 10_000);
      try {
        const fields = await Promise.race([sealed(message, arrival, domain, options), waited.promise]);
        if (fields !== null) return fields;
        options.logger.info({ event: 'arc.too-slow', domain }, 'a message goes on without a seal');
      } catch (error) {
        options.logger.warn({ event: 'arc.failed', domain, err: error }, 'a message goes on without a seal');
      } finally {
        clearTimeout(timer);
      }
      return Buffer.alloc(0);
    },
  };
}

async function sealed(
  message: SpooledMessage,
  { remoteAddress, helo, sender, hostname }: Arrival,
  domain: string,
  { keys, resolver }: ArcSealerOptions,
): Promise<Buffer> {
  // RFC 8617 section 4.1.2: what RFC 6376 has; receivers of Ed25519 are few.
  const key = (await keys.of(domain)).find(({ algorithm }) => algorithm === 'rsa2048');
  if (key === undefined) return Buffer.alloc(0);
  const { headers, arc } = await authenticate(Readable.from(message.read(0, message.size)), {
    ip: remoteAddress,
    ...(helo !== null && { helo }),
    sender,
    mta: hostname,
    resolver,
    disableBimi: true,
    seal: {
      signingDomain: domain,
      selector: key.selector,
      privateKey: key.key.export({ format: 'pem', type: 'pkcs8' }),
    },
  });
  // A chain that is broken is not gone on with (RFC 8617 section 5.1.2).
  return arc === false || !/^ARC-Seal:/im.test(headers) ? Buffer.alloc(0) : Buffer.from(headers);
}
