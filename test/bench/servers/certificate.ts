/** One certificate for all servers of a run, so that TLS costs the same. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { makeSelfSigned } from '#server/tls/self-signed.ts';

export type Certificate = { readonly certificateFile: string; readonly keyFile: string };

/** ECDSA P-256, as our server makes its own. */
export async function writeCertificate(folder: string): Promise<Certificate> {
  const { certificate, privateKey } = await makeSelfSigned(['mail.bench.test', '127.0.0.1'], new Date());
  const files = { certificateFile: path.join(folder, 'bench.crt'), keyFile: path.join(folder, 'bench.key') };
  await writeFile(files.certificateFile, certificate);
  await writeFile(files.keyFile, privateKey, { mode: 0o600 });
  return files;
}
