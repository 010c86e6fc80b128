import { deriveVerifiers } from '#shared/directory/credentials.ts';
import type { NewPassword } from '#shared/directory/credentials.ts';
import { originOf } from '#shared/directory/generate-password.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { MailCredentialSalts } from '#shared/directory/mail-credentials.ts';
import type { WantedPassword } from '#shared/provisioning/wanted.ts';

/**
 * What is stored of a password that stands in a Secret. `salts`: those of the login's present password
 * (`readMailCredentialSalts`), for a MailCredential that has one.
 */
export async function newPassword(
  keyring: Keyring,
  password: Pick<WantedPassword, 'isFollowed' | 'source'>,
  secret: string,
  salts?: MailCredentialSalts,
): Promise<NewPassword> {
  const { source, isFollowed } = password;
  const origin = originOf(keyring, { ...source, password: secret }, source.mark);
  const managedBy = isFollowed ? 'reconciler' : 'user';
  return { verifiers: await deriveVerifiers(secret, origin, salts), managedBy, secret };
}
