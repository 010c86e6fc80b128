/** Which stored passwords and secrets are the wanted ones. By their tags alone: nothing is hashed slowly for it. */
import type { AccountId } from '#shared/base/ids.ts';
import { secretTag } from '#shared/directory/credentials.ts';
import { mailCredentialTag } from '#shared/directory/mail-credentials.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import { routeSealContext } from '#shared/provisioning/mail-route-wanted.ts';
import type { ObservedRoute } from '#shared/provisioning/mail-route-plan.ts';
import type { ObservedCredential } from '#shared/provisioning/credential-plan.ts';
import type { ObservedAccount, ObservedDirectory } from '#shared/provisioning/observed.ts';
import { addressKey } from '#shared/provisioning/wanted.ts';
import type { WantedDirectory } from '#shared/provisioning/wanted.ts';
import type { StoredDirectory, StoredPrimary } from './read-directory.ts';

type Look = {
  readonly keyring: Keyring;
  /** There are more accounts than those in `stored`. */
  readonly isPart: boolean;
};

export function observe(stored: StoredDirectory, wanted: WantedDirectory, look: Look): ObservedDirectory {
  const { keyring } = look;
  return {
    domains: stored.domains,
    accounts: observeAccounts(stored, wanted, look),
    aliases: stored.aliases,
    routes: observeRoutes(stored, wanted, keyring),
    credentials: observeCredentials(stored, wanted, keyring),
  };
}

type Known = { readonly primary: StoredPrimary; readonly value: string };

/** What was found to be alike at the last look, by account: ten thousand keyed hashes are a second's work. */
const known = new WeakMap<Keyring, Map<AccountId, Known>>();

function observeAccounts(
  { accounts, primaries }: StoredDirectory,
  wanted: WantedDirectory,
  { keyring, isPart }: Look,
): readonly ObservedAccount[] {
  const values = new Map(wanted.accounts.map((account) => [addressKey(account), account.password.value]));
  const before = known.get(keyring);
  const alike = isPart && before ? before : new Map<AccountId, Known>();
  const observed = accounts.map((row): ObservedAccount => {
    const primary = primaries.get(row.id);
    if (!primary) return { ...row, password: 'none' };
    const value = values.get(addressKey(row)) ?? null;
    if (value === null) return { ...row, password: 'other' };
    const last = before?.get(row.id);
    const isKnown = last?.value === value && isUnchanged(primary, last.primary);
    const isSame = isKnown || isTagOf(primary, value, keyring);
    if (isSame) alike.set(row.id, { primary, value });
    return { ...row, password: isSame ? 'same' : 'other' };
  });
  known.set(keyring, alike);
  return observed;
}

function isUnchanged(a: StoredPrimary, b: StoredPrimary): boolean {
  return (
    a.id === b.id &&
    a.version === b.version &&
    a.seal_key_id === b.seal_key_id &&
    a.secret_tag !== null &&
    a.secret_tag === b.secret_tag
  );
}

function isTagOf(primary: StoredPrimary, value: string, keyring: Keyring): boolean {
  const { secret_tag: stored } = primary;
  if (stored === null) return false;
  return tagOrNull(() => secretTag(primary, keyring, value))?.toString('base64') === stored;
}

function observeRoutes(
  { routes }: Pick<StoredDirectory, 'routes'>,
  wanted: WantedDirectory,
  keyring: Keyring,
): readonly ObservedRoute[] {
  const secrets = new Map(wanted.routes.map((route) => [route.uid, route.secrets]));
  return routes.map(({ sealKeyId, secretTag: stored, ...row }) => {
    const text = secrets.get(row.resourceUid);
    if (text === undefined) return { ...row, secrets: 'other' };
    const tag = tagOrNull(() => keyring.tag(sealKeyId, text, routeSealContext(row.resourceUid)));
    return { ...row, secrets: tag?.equals(stored) === true ? 'same' : 'other' };
  });
}

function observeCredentials(
  { credentials }: Pick<StoredDirectory, 'credentials'>,
  wanted: WantedDirectory,
  keyring: Keyring,
): readonly ObservedCredential[] {
  const values = new Map(wanted.credentials.map(({ resourceName, password }) => [resourceName, password.value]));
  return credentials.map(({ present, ...row }) => {
    if (!present) return { ...row, password: 'none' };
    const value = values.get(row.resourceName) ?? null;
    const tag = value === null ? null : tagOrNull(() => mailCredentialTag(present, keyring, value));
    return { ...row, password: tag?.equals(present.secretTag) === true ? 'same' : 'other' };
  });
}

/** Null: it was made with a key that is gone, so the Secret's value is stored anew. */
function tagOrNull(make: () => Buffer): Buffer | null {
  try {
    return make();
  } catch {
    return null;
  }
}
