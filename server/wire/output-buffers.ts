/**
 * Memory in which output is gathered before it is sent, used again and again by all connections: new memory for whatever
 * is sent costs more than sending it.
 */

/** Of one buffer. */
export const outputBytes = 128 * 1024;
/** Those that nobody has: 8 MiB. */
const mostKept = 64;

const kept: Buffer[] = [];

/** With what somebody else has left in it. */
export function takeOutputBuffer(): Buffer {
  return kept.pop() ?? Buffer.allocUnsafeSlow(outputBytes);
}

/** Only by who took it, once, when nothing reads it any more; one that is never given back is lost, and no harm. */
export function giveOutputBuffer(buffer: Buffer): void {
  if (kept.length < mostKept) kept.push(buffer);
}
