/** The passwords that a plan asks for: those of Secrets, and new ones, which are in a Secret before they are in a row. */
import type { Kysely } from 'kysely';
import { forEachBounded } from '#shared/base/bounded.ts';
import type { Database } from '#shared/db/schema.ts';
import type { NewPassword } from '#shared/directory/credentials.ts';
import { generatedMark, generatePassword } from '#shared/directory/generate-password.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import { readMailCredentialSalts, type MailCredentialSalts } from '#shared/directory/mail-credentials.ts';
import type { OperatorMetrics } from '#shared/observe/operator-metrics.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import { formatAddress } from '#shared/text/address.ts';
import type { WantedCredential } from '#shared/provisioning/wanted.ts';
import { newPassword } from '#shared/reconcile/new-password.ts';
import type { OwnObject } from '#operator/foundation/resource-caches.ts';
import { isForbidden, isInvalid, KubeError } from '#operator/kube/kube-error.ts';
import { credentialValues, type MailHost } from './credential-secret.ts';
import type { OwnedSecrets } from './owned-secrets.ts';
import type { WriteFailure } from './verdict-report.ts';

export type PasswordAction = Extract<Action, { readonly do: 'set-password' | 'set-credential-password' }>;

export function isPasswordAction(action: Action): action is PasswordAction {
  return action.do === 'set-password' || action.do === 'set-credential-password';
}

export type PasswordOptions = {
  readonly db: Kysely<Database>;
  readonly keyring: Keyring;
  readonly secrets: OwnedSecrets;
  readonly metrics: Pick<OperatorMetrics, 'passwordsGenerated'>;
  readonly objectOf: (uid: string) => OwnObject | undefined;
  /** What a login of a workload connects to; null: there is no MailServer. */
  readonly hostOf: (credential: WantedCredential) => MailHost | null;
};

export type MadePasswords = {
  readonly passwords: ReadonlyMap<string, NewPassword>;
  /** Of resources that get none, why. */
  readonly failures: ReadonlyMap<string, WriteFailure>;
  /** Of some the cache did not have the Secret that is there: they get their password with the next comparison. */
  readonly isBehind: boolean;
};

/** Secrets are written, and passwords hashed, so many at a time. */
const atOnce = 12;

export async function makePasswords(
  actions: readonly PasswordAction[],
  options: PasswordOptions,
): Promise<MadePasswords> {
  const passwords = new Map<string, NewPassword>();
  const failures = new Map<string, WriteFailure>();
  let isBehind = false;
  const uids = actions.flatMap((action) => (action.do === 'set-credential-password' ? [action.uid] : []));
  const salts = await readMailCredentialSalts(options.db, options.keyring, uids);
  await forEachBounded(actions, atOnce, async (action) => {
    const made = await makePassword(action, salts.get(action.uid), options).catch(notAsked);
    if (made === 'behind') isBehind = true;
    else if ('failure' in made) failures.set(action.uid, made.failure);
    else passwords.set(action.uid, made.password);
  });
  return { passwords, failures, isBehind };
}

type Made = { readonly password: NewPassword } | { readonly failure: WriteFailure } | 'behind';

async function makePassword(
  action: PasswordAction,
  salts: MailCredentialSalts | undefined,
  options: PasswordOptions,
): Promise<Made> {
  const { keyring } = options;
  const wanted = action.do === 'set-password' ? action.account : action.credential;
  const { value, mayGenerate, source, length } = wanted.password;
  const isReplaced = action.do === 'set-credential-password' && action.isRotation;
  if (value !== null && !isReplaced) return { password: await newPassword(keyring, wanted.password, value, salts) };
  if (!mayGenerate && !isReplaced) return failed('SecretNotFound', 'there is no Secret with its password');
  const owner = options.objectOf(action.uid);
  if (!owner) return failed('SecretNotFound', 'the resource is gone');
  const { namespace, name } = source;
  const password = generatePassword(length);
  const values = valuesOf(action, password, options);
  if (values === null) return failed('ServerNotFound', 'no MailServer says where workloads hand in mail');
  const mark = generatedMark(keyring, { namespace, name, password });
  const outcome = await options.secrets.put({
    owner,
    name,
    values,
    generatedMark: mark,
    // A login of a workload is nothing without its resource.
    goesWithOwner: action.do === 'set-credential-password' || action.account.deletionPolicy === 'Delete',
  });
  if (outcome === 'behind') return 'behind';
  if (outcome === 'taken')
    return failed('SecretNotOwned', `there is a Secret ${name} already that the operator did not make`);
  if (outcome === 'gone') return failed('SecretNotFound', 'the namespace is being deleted');
  options.metrics.passwordsGenerated.inc({ kind: owner.kind });
  const generated = { ...wanted.password, source: { ...source, mark } };
  return { password: await newPassword(keyring, generated, password, salts) };
}

function valuesOf(
  action: PasswordAction,
  password: string,
  { hostOf }: PasswordOptions,
): Readonly<Record<string, string>> | null {
  if (action.do === 'set-password') return { username: formatAddress(action.account), password };
  const host = hostOf(action.credential);
  return host && credentialValues(action.credential.username, password, host);
}

function failed(reason: string, message: string): Made {
  return { failure: { condition: 'CredentialsReady', reason, message, isPassing: false } };
}

/** What the API server refuses for one Secret holds up no other resource. */
function notAsked(error: unknown): Made {
  if (!(error instanceof KubeError)) throw error;
  const message = `the Secret could not be written: ${error.reason}`;
  const isPassing = !isForbidden(error) && !isInvalid(error);
  return { failure: { condition: 'CredentialsReady', reason: 'SecretNotWritten', message, isPassing } };
}
