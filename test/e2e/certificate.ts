import { X509Certificate } from 'node:crypto';
import { parse } from 'yaml';
import { apply, run } from './kubectl.ts';

const script = `
  set -e; folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \\
    -addext "subjectAltName=DNS:$1" -keyout "$folder/key" -out "$folder/crt" 2>/dev/null
  kubectl create secret tls "$2" --cert "$folder/crt" --key "$folder/key" --dry-run=client -o yaml`;

/** A new self-signed certificate for a name, in a Secret of type kubernetes.io/tls; resolves with its serial number. */
export async function makeCertificate(secret: string, name: string): Promise<string> {
  const manifest = parse(await run('sh', '-c', script, 'sh', name, secret)) as {
    readonly data: Record<string, string>;
  };
  await apply(manifest);
  return new X509Certificate(Buffer.from(manifest.data['tls.crt'] ?? '', 'base64')).serialNumber;
}
