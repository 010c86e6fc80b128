import { parse } from 'yaml';
import { apply, run } from './kubectl.ts';

const script = `
  set -e; folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \\
    -addext "subjectAltName=DNS:$1" -keyout "$folder/key" -out "$folder/crt" 2>/dev/null
  kubectl create secret tls "$2" --cert "$folder/crt" --key "$folder/key" --dry-run=client -o yaml`;

/** A new self-signed certificate for a name, in a Secret of type kubernetes.io/tls. */
export async function makeCertificate(secret: string, name: string): Promise<void> {
  const manifest = await run('sh', '-c', script, 'sh', name, secret);
  await apply(parse(manifest) as object);
}
