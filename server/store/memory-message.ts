import type { Uid } from '#shared/base/ids.ts';
import { keywordBit } from '#server/mail/keyword-table.ts';
import type { FetchedMessage, FetchWants, MessageContent } from '#server/mail/ports.ts';
import { headerFieldsOf } from '#server/mime/section.ts';
import type { KnownMessage } from './match-query.ts';
import { sizeOf, type MemoryEmail, type MemoryMessage, type MessageState } from './memory-mailbox.ts';

const chunkBytes = 256 * 1024;

export function fetchedMessage(
  uid: Uid,
  message: MemoryMessage,
  state: () => MessageState,
  wants: FetchWants,
): FetchedMessage {
  const { email, internalDate } = message;
  return {
    uid,
    ...(wants.emailId && { emailId: email.id }),
    ...(wants.flags && state()),
    ...(wants.internalDate && { internalDate }),
    ...(wants.size && { size: sizeOf(message) }),
    ...(wants.envelope && { envelope: email.envelope }),
    ...(wants.bodystructure && { bodystructure: email.bodystructure }),
    ...(wants.headerFields && { headerFields: headerFieldsOf(headerOf(email), wants.headerFields, false) }),
    ...(wants.content && { content: contentOf(email) }),
  };
}

function headerOf({ prefix, raw, root }: MemoryEmail): string {
  return Buffer.concat([prefix, raw.subarray(root.headerStart, root.bodyStart)]).toString('latin1');
}

export function knownMessage(uid: Uid, message: MemoryMessage, { flags, keywords }: MessageState): KnownMessage {
  return {
    uid,
    flags,
    hasKeyword: (keyword) => keywordBit(keywords, keyword) !== -1,
    size: sizeOf(message),
    internalDate: message.internalDate,
    sentDay: message.email.sentDay,
  };
}

export function contentOf({ prefix, raw, root }: MemoryEmail): MessageContent {
  return { prefix, rawSize: raw.length, root, read: (start, end) => pieces(raw.subarray(start, end)) };
}

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}
