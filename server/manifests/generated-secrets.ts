/** Generated passwords, each as a manifest of a Secret in a folder that only we read. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { writeNewSecretFile } from '#shared/base/new-file.ts';
import { generatedAnnotation, generatedMark, generatePassword } from '#shared/directory/generate-password.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { WantedPassword } from '#shared/provisioning/wanted.ts';

export type Owner = {
  readonly kind: 'Mailbox' | 'MailCredential';
  /** namespace/name */
  readonly resourceName: string;
  readonly label: string;
  /** What one logs in with. */
  readonly username: string;
  readonly password: WantedPassword;
};

type Made = { readonly password: string; readonly mark: string };

/** Neither part of a resource's name has a slash, so no path leads elsewhere; and none has a "_". */
function secretFile(folder: string, { kind, resourceName }: Pick<Owner, 'kind' | 'resourceName'>): string {
  const [namespace = '', name = ''] = resourceName.split('/');
  return path.join(folder, `${kind === 'Mailbox' ? '' : 'smtp_'}${namespace}.${name}.yaml`);
}

/** Resolves with the new password. Null: another process made one just now, which is to be read. */
export async function generateSecret(folder: string, keyring: Keyring, owner: Owner): Promise<Made | null> {
  const { namespace, name } = owner.password.source;
  const password = generatePassword(owner.password.length);
  const mark = generatedMark(keyring, { namespace, name, password });
  const manifest = stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      namespace,
      labels: { 'postrider.dev/managed': 'true' },
      annotations: { [generatedAnnotation]: mark },
    },
    type: 'Opaque',
    stringData: { username: owner.username, password },
  });
  const text = `# The password of ${owner.label}. Change it here to change it; without this file a new one is made.\n${manifest}`;
  return (await writeNewSecretFile(secretFile(folder, owner), text)) ? { password, mark } : null;
}

export async function removeSecret(folder: string, owner: Pick<Owner, 'kind' | 'resourceName'>): Promise<void> {
  await rm(secretFile(folder, owner), { force: true });
}
