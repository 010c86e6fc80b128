/** Messages for the queue as the arguments of the SQL function outbound_enqueue (0006-outbound-queue.sql). */
import { parseAddress } from '#shared/text/address.ts';
import type { NewOutbound, NextHop, OutboundEnvelope, Router } from '#server/mail/outbound-ports.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import { byteaArray, int8Array } from './binary-array.ts';
import { formatNotify } from './pg-queue-rows.ts';

/** One message's bytes and what goes out of them. */
export type EnqueueJob = {
  readonly message: SpooledMessage;
  /** The blob was stored before (`uploadBlob`). */
  readonly isUploaded: boolean;
  readonly outbound: readonly NewOutbound[];
};

export type EncodedOutbound = readonly unknown[];

type Place<T> = { readonly place: number } & T;

/** `expiryMs`: how long a message is tried. The order of the messages is that of the jobs and of each job's `outbound`. */
export function encodeOutbound(
  jobs: readonly EnqueueJob[],
  router: Router,
  now: Date,
  expiryMs: number,
): EncodedOutbound {
  const blobs = new Map<string, Place<{ readonly size: number; readonly raw: Buffer | null }>>();
  const destinations = new Map<string, Place<{ readonly hop: NextHop }>>();
  const prefixes: Buffer[] = [];
  const messages: object[] = [];
  const recipients: object[] = [];
  for (const { message, isUploaded, outbound } of jobs) {
    const known = blobs.get(message.hash);
    const raw = known?.raw ?? (isUploaded ? null : message.inMemory);
    const place = known?.place ?? blobs.size + 1;
    blobs.set(message.hash, { place, size: message.size, raw });
    for (const { envelope, prefix, recipients: of, heldFor } of outbound) {
      prefixes.push(prefix);
      messages.push(messageRow(envelope, place, now, expiryMs));
      for (const { address, notify, orcpt } of of) {
        const hop = router.nextHop(envelope, address);
        const key = `${hop.route} ${hop.domain ?? ''}`;
        const destination = destinations.get(key) ?? { place: destinations.size + 1, hop };
        destinations.set(key, destination);
        recipients.push({
          message: messages.length,
          destination: destination.place,
          class: classOf(envelope.priority),
          address,
          domain: domainOf(address),
          notify: formatNotify(notify),
          orcpt,
          held: heldFor,
        });
      }
    }
  }
  const blobRows = [...blobs];
  return [
    byteaArray(blobRows.map(([hash]) => Buffer.from(hash, 'hex'))),
    int8Array(blobRows.map(([, { size }]) => size)),
    byteaArray(blobRows.map(([, { raw }]) => raw)),
    byteaArray(prefixes),
    JSON.stringify(messages),
    JSON.stringify(recipients),
    JSON.stringify([...destinations.values()].map(({ hop }) => destinationRow(hop, router))),
  ];
}

function domainOf(address: string): string {
  return parseAddress(address)?.domain ?? '';
}

function messageRow(envelope: OutboundEnvelope, blob: number, now: Date, expiryMs: number): object {
  const { deliverBy } = envelope;
  const expiry = (envelope.holdUntil ?? now).getTime() + expiryMs;
  return {
    blob,
    origin: envelope.origin,
    account_id: envelope.accountId === null ? null : String(envelope.accountId),
    domain: envelope.domain,
    sender: envelope.sender,
    return_path: envelope.returnPath,
    envid: envelope.envid,
    ret: envelope.ret,
    body: envelope.body,
    smtputf8: envelope.isSmtpUtf8,
    requiretls: envelope.requiresTls,
    deliver_by: deliverBy?.at ?? null,
    deliver_by_mode: deliverBy?.mode ?? null,
    deliver_by_trace: deliverBy?.isTraced ?? false,
    hold_until: envelope.holdUntil,
    priority: envelope.priority,
    trace_id: envelope.traceId,
    message_id: envelope.messageId,
    // RFC 2852 section 4.1.3: in mode "return" the message is of no use afterwards.
    expires_at: new Date(deliverBy?.mode === 'return' ? Math.min(expiry, deliverBy.at.getTime()) : expiry),
  };
}

/** High, normal, low: 0, 1, 2. */
function classOf(priority: number): number {
  if (priority === 0) return 1;
  return priority > 0 ? 0 : 2;
}

function destinationRow(hop: NextHop, router: Router): object {
  const { maxLanes, perMinute } = router.limits(hop);
  return { route: hop.route, domain: hop.domain ?? '', maxLanes, perMinute };
}
