/**
 * Keys that seal TLS session tickets (RFC 5077, RFC 8446 section 4.6.1), the same in every process and on every
 * machine that has the same keyring, so that a session begun with one is resumed by any other. They change each day;
 * a ticket of yesterday costs its client one full handshake.
 */
import type { Clock } from '#shared/base/clock.ts';
import { ticketKeysBytes } from '#server/wire/tls-context.ts';

/** Gives the keys of this moment. */
export type TicketKeys = () => Buffer;

/** Gives the same bytes for the same purpose wherever the same keyring is. */
export interface KeySource {
  deriveKey(purpose: string, bytes: number): Buffer;
}

export function ticketKeysOfDay(source: KeySource, clock: Clock): TicketKeys {
  return () => source.deriveKey(`tls tickets ${clock.now().toISOString().slice(0, 10)}`, ticketKeysBytes);
}
