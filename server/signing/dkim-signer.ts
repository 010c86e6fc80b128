/**
 * Signs messages with DKIM (RFC 6376, RFC 8463). Ours, on node:crypto, since a signature is then made beside the event
 * loop (docs/adr). It must not know who sends what.
 */
import { createHash, sign } from 'node:crypto';
import { promisify } from 'node:util';
import type { Clock } from '#shared/base/clock.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import { RelaxedBody } from './relaxed-body.ts';
import { relaxedField, signatureField, signedFields, unsignedValue } from './signature-field.ts';
import type { SigningKey, SigningKeys } from './signing-keys.ts';

const signOff = promisify(sign);

/** A header that is longer is not signed: its fields are not read to their end. */
const maxSignedHeaderBytes = 1024 * 1024;

export interface Signer {
  /** DKIM-Signature fields of this time, one a key of the domain, each with CRLF; none where the domain has no keys. */
  sign(message: SpooledMessage, domain: string, at?: Date): Promise<Buffer>;
}

export function createSigner(keys: Pick<SigningKeys, 'of'>, clock: Clock): Signer {
  return {
    async sign(message, domain, at = clock.now()) {
      const found = await keys.of(domain);
      if (found.length === 0) return Buffer.alloc(0);
      return signMessage(message, domain, found, at);
    },
  };
}

export async function signMessage(
  message: SpooledMessage,
  domain: string,
  keys: readonly SigningKey[],
  at: Date,
): Promise<Buffer> {
  const { bodyStart } = message.index.root;
  if (bodyStart > maxSignedHeaderBytes) return Buffer.alloc(0);
  const { names, text } = signedFields((await collect(message.read(0, bodyStart))).toString('latin1'));
  const body = new RelaxedBody();
  for await (const chunk of message.read(bodyStart, message.size)) body.push(chunk);
  const bodyHash = body.digest();
  const fields = await Promise.all(
    keys.map(async ({ algorithm, selector, key }) => {
      const isRsa = algorithm === 'rsa2048';
      const name = isRsa ? 'rsa-sha256' : 'ed25519-sha256';
      const value = unsignedValue({ algorithm: name, domain, selector, at, names, bodyHash });
      const data = Buffer.from(text + relaxedField('dkim-signature', value), 'latin1');
      // RFC 8463 section 3: Ed25519 signs the hash.
      const signature = isRsa
        ? await signOff('sha256', data, key)
        : await signOff(null, createHash('sha256').update(data).digest(), key);
      return signatureField(value, signature.toString('base64'));
    }),
  );
  return Buffer.from(fields.join(''), 'latin1');
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}
