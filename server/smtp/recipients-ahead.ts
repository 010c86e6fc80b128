/** The recipients that a client names in one piece of its input, before their commands are run. */

const recipientCommand = /^RCPT TO:<([^<>\r\n]+)>/gim;

/** As every client writes it; who writes it otherwise has each looked up by itself. */
export function hasTwoRecipients(input: Buffer): boolean {
  const first = input.indexOf('RCPT TO:', 0, 'latin1');
  return first >= 0 && input.includes('RCPT TO:', first + 1, 'latin1');
}

/** Of the first `most` commands. */
export function recipientsIn(input: Buffer, most: number): readonly string[] {
  return input
    .toString()
    .matchAll(recipientCommand)
    .take(most)
    .map(([, address]) => address as string)
    .toArray();
}
