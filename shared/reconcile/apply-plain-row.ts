/** What the plan says of rows that nothing else hangs on: routes, and logins of MailCredentials. */
import { sql, type Kysely } from 'kysely';
import { unreachable } from '#shared/base/unreachable.ts';
import type { Database } from '#shared/db/schema.ts';
import type { NewPassword } from '#shared/directory/credentials.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import { setMailCredentialPassword } from '#shared/directory/mail-credentials.ts';
import type { CredentialAction } from '#shared/provisioning/credential-plan.ts';
import type { RouteAction } from '#shared/provisioning/mail-route-plan.ts';
import { routeSealContext } from '#shared/provisioning/mail-route-wanted.ts';
import type { WantedRoute } from '#shared/provisioning/mail-route-wanted.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import type { SendingLimits, WantedCredential } from '#shared/provisioning/wanted.ts';

export type ApplyOptions = {
  readonly tx: Kysely<Database>;
  readonly keyring: Keyring;
  /** By the resource's UID, for each set-password. */
  readonly passwords: ReadonlyMap<string, NewPassword>;
};

type PlainRowAction = RouteAction | CredentialAction;

const kinds: ReadonlySet<Action['do']> = new Set<PlainRowAction['do']>([
  'delete-route',
  'put-route',
  'delete-credential',
  'put-credential',
  'set-credential-password',
  'remove-expired-passwords',
]);

export function isOfPlainRow(action: Action): action is PlainRowAction {
  return kinds.has(action.do);
}

export async function applyPlainRow(action: PlainRowAction, options: ApplyOptions): Promise<void> {
  const { tx, keyring } = options;
  switch (action.do) {
    case 'delete-route':
      await tx.deleteFrom('mail_route').where('id', '=', action.id).where('resource_uid', '=', action.uid).execute();
      return;
    case 'put-route':
      await putRoute(tx, keyring, action.id, action.route);
      return;
    case 'delete-credential':
      await tx
        .deleteFrom('mail_credential')
        .where('id', '=', action.id)
        .where('resource_uid', '=', action.uid)
        .execute();
      return;
    case 'put-credential':
      await putCredential(tx, action.id, action.credential);
      return;
    case 'remove-expired-passwords':
      await tx
        .deleteFrom('mail_credential_password')
        .where('credential_id', '=', action.id)
        .where('expires_at', '<=', sql<Date>`now()`)
        .execute();
      return;
    case 'set-credential-password': {
      const { verifiers, secret } = newPasswordOf(options, action.credential);
      if (secret === null) throw new Error(`the password of ${action.credential.label} has no Secret`);
      await setMailCredentialPassword(tx, keyring, action.uid, { verifiers, secret });
      return;
    }
    default:
      unreachable(action);
  }
}

export function newPasswordOf(
  { passwords }: ApplyOptions,
  { uid, label }: { readonly uid: string; readonly label: string },
): NewPassword {
  const made = passwords.get(uid);
  if (!made) throw new Error(`no verifiers were made for ${label}`);
  return made;
}

async function putRoute(tx: Kysely<Database>, keyring: Keyring, id: bigint | null, wanted: WantedRoute): Promise<void> {
  const context = routeSealContext(wanted.uid);
  const sealed = keyring.seal(Buffer.from(wanted.secrets), context);
  const values = {
    resource_uid: wanted.uid,
    resource_name: wanted.resourceName,
    priority: wanted.priority,
    sender_domains: wanted.senderDomains,
    recipient_domains: wanted.recipientDomains,
    spec: JSON.stringify(wanted.spec),
    secrets: sealed.bytes,
    seal_key_id: sealed.keyId,
    secret_tag: keyring.tag(sealed.keyId, wanted.secrets, context),
    spec_hash: wanted.specHash,
  };
  if (id === null) await tx.insertInto('mail_route').values(values).execute();
  else await tx.updateTable('mail_route').set(values).where('id', '=', id).execute();
}

async function putCredential(tx: Kysely<Database>, id: bigint | null, wanted: WantedCredential): Promise<void> {
  const values = {
    resource_uid: wanted.uid,
    resource_name: wanted.resourceName,
    username: wanted.username,
    allowed_senders: wanted.allowedSenders,
    ...limitColumns(wanted.limits),
    overlap_seconds: BigInt(wanted.overlapSeconds),
    spec_hash: wanted.specHash,
  };
  if (id === null) await tx.insertInto('mail_credential').values(values).execute();
  else await tx.updateTable('mail_credential').set(values).where('id', '=', id).execute();
}

export function limitColumns({ messagesPerHour, messagesPerDay, newRecipientsPerDay }: SendingLimits) {
  return {
    messages_per_hour: messagesPerHour,
    messages_per_day: messagesPerDay,
    new_recipients_per_day: newRecipientsPerDay,
  };
}
