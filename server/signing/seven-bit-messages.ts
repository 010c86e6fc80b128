/** Messages in ASCII for servers without 8BITMIME (RFC 6152 section 3), signed anew: what signed the others no longer fits. */
import { fieldSpans } from '#server/mime/header.ts';
import { MessageScanner } from '#server/mime/message-scanner.ts';
import type { Part } from '#server/mime/part.ts';
import { planSevenBit, writeSevenBit } from '#server/mime/seven-bit.ts';
import type { MessageSource, SevenBitMessages } from '#server/mail/outbound-ports.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import type { Signer } from './dkim-signer.ts';

interface ConversionSpool extends AsyncDisposable {
  write(chunk: Buffer): Promise<void> | null;
  finish(): Promise<SpooledMessage>;
}

export type SevenBitOptions = {
  readonly signer: Signer;
  readonly createSpool: (maxBytes: number) => ConversionSpool;
};

/** An escaped byte takes three, and soft line breaks and fields come on top. */
const growth = 3.2;
const addedFieldBytes = 64 * 1024;

export function createSevenBitMessages({ signer, createSpool }: SevenBitOptions): SevenBitMessages {
  return {
    async convert(message) {
      const { content } = message;
      const prefix = withoutSignatures(content.prefix.toString('latin1'));
      if (prefix === null) return null;
      const read = content.read.bind(content);
      const plan = await planSevenBit(await rootOf(content), read);
      if (plan === null) return null;
      await using spool = createSpool(content.rawSize * growth + addedFieldBytes);
      for await (const chunk of writeSevenBit(plan, read)) await spool.write(chunk);
      const converted = await spool.finish();
      const signatures: Buffer[] = [];
      // The time of the first signature: the same message becomes the same bytes at each attempt.
      for (const domain of prefix.domains) signatures.push(await signer.sign(converted, domain, message.acceptedAt));
      return {
        message: {
          ...message,
          body: '7bit',
          content: {
            prefix: Buffer.concat([...signatures, Buffer.from(prefix.rest, 'latin1')]),
            hash: content.hash,
            rawSize: converted.size,
            read: (start, end) => converted.read(start, end),
          },
        },
        [Symbol.asyncDispose]: () => converted[Symbol.asyncDispose](),
      };
    },
  };
}

async function rootOf(content: MessageSource): Promise<Part> {
  const scanner = new MessageScanner();
  for await (const chunk of content.read(0, content.rawSize)) scanner.push(chunk);
  return scanner.finish().root;
}

type OwnFields = {
  /** Those that signed it. */
  readonly domains: ReadonlySet<string>;
  readonly rest: string;
};

/** What we put before the message, without our signatures. Null: it is sealed (ARC), and a seal is about how it came. */
function withoutSignatures(prefix: string): OwnFields | null {
  const domains = new Set<string>();
  let rest = '';
  for (const { name, start, valueStart, end } of fieldSpans(prefix)) {
    if (name.startsWith('arc-')) return null;
    if (name !== 'dkim-signature') rest += prefix.slice(start, end);
    const [, domain] = name === 'dkim-signature' ? (/[\s;]d=([^\s;]+)/.exec(prefix.slice(valueStart, end)) ?? []) : [];
    if (domain !== undefined) domains.add(domain);
  }
  return { domains, rest };
}
