import { maxReceivedFields } from '#shared/base/limits.ts';
import type { MessageIndex } from '#server/mime/part.ts';

export type ContentVerdict =
  { readonly kind: 'accept' } | { readonly kind: 'refuse'; readonly reason: 'bare-line-ending' | 'nul' | 'loop' };

/**
 * Whether a message may be stored, judged by its form alone. Pure. Lone CRs and LFs are what SMTP smuggling is
 * made of (RFC 5321 section 2.3.8 forbids them), and servers that read a message further on disagree about NUL.
 */
export function judgeContent(index: MessageIndex): ContentVerdict {
  if (index.hasBareCr || index.hasBareLf) return { kind: 'refuse', reason: 'bare-line-ending' };
  if (index.hasNul) return { kind: 'refuse', reason: 'nul' };
  // RFC 5321 section 6.3.
  if (index.receivedFields > maxReceivedFields) return { kind: 'refuse', reason: 'loop' };
  return { kind: 'accept' };
}
