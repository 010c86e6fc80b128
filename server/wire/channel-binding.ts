import { createHash, type X509Certificate } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import type { Socket } from 'node:net';

/**
 * What identifies a TLS connection to both of its ends: `tls-exporter` (RFC 9266), with TLS 1.3 alone since older
 * versions need an extension that can't be seen from here, and `tls-server-end-point` (RFC 5929 section 4), which names
 * our certificate. Null: the name is another, or the socket is none of TLS.
 */
export function channelBinding(socket: Socket, name: string): Buffer | null {
  if (!(socket instanceof TLSSocket)) return null;
  switch (name) {
    case 'tls-exporter':
      if (socket.getProtocol() !== 'TLSv1.3') return null;
      return socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0));
    case 'tls-server-end-point':
      return certificateHash(socket);
    default:
      return null;
  }
}

/** RFC 5929 section 4.1: by the hash of the certificate's signature, SHA-256 in place of MD5 and SHA-1. */
function certificateHash(socket: TLSSocket): Buffer | null {
  const certificate = socket.getX509Certificate();
  if (certificate === undefined) return null;
  const hash = hashOf(certificate);
  return hash === null ? null : createHash(hash).update(certificate.raw).digest();
}

/** Null: undefined by the RFC (Ed25519 has no hash of its own). */
function hashOf({ signatureAlgorithm = '' }: X509Certificate): string | null {
  const algorithm = signatureAlgorithm.toLowerCase();
  const [found] = /sha(?:224|256|384|512)/.exec(algorithm) ?? [];
  if (found !== undefined) return found;
  return /md5|sha1/.test(algorithm) ? 'sha256' : null;
}
