/** Generated passwords, each as a manifest of a Secret in a folder that only we read. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { writeNewSecretFile } from '#shared/base/new-file.ts';
import { generatePassword } from '#shared/directory/generate-password.ts';
import { formatAddress } from '#shared/text/address.ts';
import { generatedSecretName } from '#shared/provisioning/wanted.ts';
import type { WantedAccount } from '#shared/provisioning/wanted.ts';

/** Of a Mailbox, by its namespace/name. Neither part has a slash, so no path leads elsewhere. */
function secretFile(folder: string, resourceName: string): string {
  const [namespace = '', name = ''] = resourceName.split('/');
  return path.join(folder, `${namespace}.${name}.yaml`);
}

/** Resolves with the new password. Null: another process made one just now, which is to be read. */
export async function generateSecret(folder: string, account: WantedAccount): Promise<string | null> {
  const password = generatePassword(account.password.length);
  const [namespace, name = ''] = account.resourceName.split('/');
  const manifest = stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: generatedSecretName(name),
      namespace,
      labels: { 'postrider.dev/managed': 'true' },
    },
    type: 'Opaque',
    stringData: { username: formatAddress(account), password },
  });
  const text = `# The password of ${account.label}. Change it here to change it; without this file a new one is made.\n${manifest}`;
  return (await writeNewSecretFile(secretFile(folder, account.resourceName), text)) ? password : null;
}

export async function removeSecret(folder: string, resourceName: string): Promise<void> {
  await rm(secretFile(folder, resourceName), { force: true });
}
