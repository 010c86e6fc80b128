/** The sender says that its message need not be protected: the field TLS-Required of RFC 8689 section 3. */
import type { OutboundMessage } from '#server/mail/outbound-ports.ts';
import { collectFields, trimBlanks } from '#server/mime/header.ts';

/** A header beyond is not looked at. */
const maxHeaderBytes = 256 * 1024;
const field = 'tls-required';

/**
 * True: what the recipient's side asks of TLS (DANE, MTA-STS) is passed over. REQUIRETLS goes before it. A message that
 * can't be read waives nothing.
 */
export async function waivesTlsPolicies({ requiresTls, content }: OutboundMessage): Promise<boolean> {
  if (requiresTls) return false;
  let header = '';
  try {
    for await (const chunk of content.read(0, Math.min(content.rawSize, maxHeaderBytes))) {
      header += chunk.toString('latin1');
      if (header.includes('\r\n\r\n')) break;
    }
  } catch {
    // Whoever sends it finds that out, and tells.
    return false;
  }
  const values = collectFields(header, new Set([field])).get(field) ?? [];
  return values.length === 1 && trimBlanks(values[0] ?? '').toLowerCase() === 'no';
}
