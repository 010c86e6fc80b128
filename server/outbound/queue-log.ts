import type { QueueId } from '#server/mail/outbound-ports.ts';

/** How the log and the command line name a message of the queue. */
export function queueName(id: QueueId): string {
  return `q${id}`;
}
