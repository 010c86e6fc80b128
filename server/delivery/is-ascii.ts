import { isAscii } from 'node:buffer';
import type { SpooledMessage } from '#server/mail/ports.ts';

/** Whether the message has no 8-bit byte from `start` on. */
export async function isAsciiFrom(message: Pick<SpooledMessage, 'read' | 'size'>, start: number): Promise<boolean> {
  for await (const chunk of message.read(start, message.size)) if (!isAscii(chunk)) return false;
  return true;
}
