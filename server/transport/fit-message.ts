/** A message as one peer can take it: as it is, or converted. */
import type { OutboundMessage, SevenBitMessages } from '#server/mail/outbound-ports.ts';
import { needs8BitMime, unableToTake, type Unable } from './mail-parameters.ts';
import type { Extensions } from './smtp-extensions.ts';

/** Disposed of after the transaction. */
export type FittedMessage = AsyncDisposable & { readonly message: OutboundMessage; readonly unable: Unable | null };

/** `sevenBit` null: nothing is converted. Rejects when the message can't be read. */
export async function fitMessage(
  message: OutboundMessage,
  peer: { readonly extensions: Extensions; readonly now: Date },
  sevenBit: SevenBitMessages | null,
): Promise<FittedMessage> {
  const unable = unableToTake({ envelope: message, sizeBytes: sizeOf(message), ...peer });
  const converted = unable === needs8BitMime ? ((await sevenBit?.convert(message)) ?? null) : null;
  if (converted === null) return { message, unable, [Symbol.asyncDispose]: () => Promise.resolve() };
  return {
    message: converted.message,
    unable: unableToTake({ envelope: converted.message, sizeBytes: sizeOf(converted.message), ...peer }),
    [Symbol.asyncDispose]: () => converted[Symbol.asyncDispose](),
  };
}

function sizeOf({ content: { prefix, rawSize } }: OutboundMessage): number {
  return prefix.length + rawSize;
}
