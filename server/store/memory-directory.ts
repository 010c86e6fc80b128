/** The directory in memory, for unit tests of what stands above it. */
import type { AccountId } from '#shared/base/ids.ts';
import type { CredentialKey, LoginAccount, LoginCredential, LoginDirectory } from '#shared/directory/logins.ts';
import { resolveRecipient } from '#shared/directory/resolve-recipient.ts';
import type { AddressFacts, DirectoryFacts, DomainFacts } from '#shared/directory/resolve-recipient.ts';
import { canonicalAddress, formatAddress, parseAddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';
import type { RecipientDirectory } from '#server/mail/ports.ts';
import { isSenderOf, recipientVerdict } from './directory-verdict.ts';
import type { RecipientAccount } from './directory-verdict.ts';

export type MemoryDirectoryContents = {
  readonly domains: readonly {
    readonly name: string;
    readonly aliasDomains?: readonly string[];
    /** '+' unless told; null: no sub-addresses. */
    readonly subaddressDelimiter?: string | null;
    readonly catchAll?: string;
    readonly suspended?: boolean;
  }[];
  readonly accounts?: readonly {
    readonly address: string;
    /** Further addresses. */
    readonly aliases?: readonly string[];
    readonly suspended?: boolean;
    readonly quotaBytes?: bigint;
    readonly usedBytes?: bigint;
    /** The resource is gone. */
    readonly retained?: boolean;
    readonly credentials?: readonly LoginCredential[];
  }[];
  readonly aliases?: readonly { readonly address: string; readonly members: readonly string[] }[];
};

export interface MemoryDirectory extends RecipientDirectory, LoginDirectory {
  /** By the account's own address. Throws where there is none. */
  accountId(address: string): AccountId;
  /** When the credential was used last. */
  lastUse(key: CredentialKey): Date | null;
}

type Account = RecipientAccount & { readonly retained: boolean; credentials: readonly LoginCredential[] };

export function createMemoryDirectory(contents: MemoryDirectoryContents): MemoryDirectory {
  const domains = new Map<string, DomainFacts>();
  const addresses = new Map<string, AddressFacts>();
  const accounts = new Map<AccountId, Account>();
  const uses = new Map<string, Date>();

  const facts: DirectoryFacts = {
    domain: (name) => domains.get(name) ?? null,
    address: (domain, localPart) => addresses.get(`${localPart}@${domain}`) ?? null,
  };
  const keyOf = ({ localPart, domain }: MailAddress): string => `${localPart}@${domains.get(domain)?.name ?? domain}`;
  const findAccount = (login: string): Account | null => {
    const address = parseAddress(login);
    const found = address && addresses.get(keyOf(canonicalAddress(address)));
    return found?.kind === 'account' ? (accounts.get(found.accountId) ?? null) : null;
  };
  const addAccount = (account: NonNullable<MemoryDirectoryContents['accounts']>[number]): void => {
    const accountId = BigInt(accounts.size + 1) as AccountId;
    const own = mustParse(account.address);
    accounts.set(accountId, {
      accountId,
      address: formatAddress(own),
      isSuspended: (account.suspended ?? false) || (domains.get(own.domain)?.suspended ?? false),
      quotaBytes: account.quotaBytes ?? null,
      usedBytes: account.usedBytes ?? 0n,
      retained: account.retained ?? false,
      credentials: account.credentials ?? [],
    });
    for (const address of [own, ...(account.aliases ?? []).map(mustParse)]) {
      addresses.set(keyOf(address), account.retained ? { kind: 'retained' } : { kind: 'account', accountId });
    }
  };

  for (const { name, aliasDomains = [], subaddressDelimiter = '+', catchAll, suspended = false } of contents.domains) {
    const domain = { name, subaddressDelimiter, catchAll: catchAll ? mustParse(catchAll) : null, suspended };
    for (const each of [name, ...aliasDomains]) domains.set(each, domain);
  }
  for (const account of contents.accounts ?? []) addAccount(account);
  for (const { address, members } of contents.aliases ?? []) {
    addresses.set(keyOf(mustParse(address)), { kind: 'alias', members: members.map(mustParse) });
  }

  return {
    async resolveRecipient(text, declaredBytes) {
      const address = parseAddress(text);
      if (!address) return { kind: 'unknown' };
      return recipientVerdict(resolveRecipient(address, facts), accounts, declaredBytes);
    },
    expectRecipients: () => undefined,
    findPostmaster: () => Promise.resolve(oldestPostmaster(contents, addresses)),
    async maySendAs(accountId, text) {
      const address = parseAddress(text);
      return address !== null && isSenderOf(accountId, resolveRecipient(address, facts), accounts);
    },
    credentialMaySendAs: () => Promise.resolve(false),
    submissionLogin: () => Promise.resolve(null),
    noteSubmissionUse: () => Promise.resolve(),
    accountByLogin: (login) => Promise.resolve(toLogin(findAccount(login))),
    async noteUse(keys, at) {
      for (const key of keys) uses.set(useKey(key), at);
    },
    async replaceHash({ accountId, id }, version, passwordHash) {
      const account = accounts.get(accountId);
      if (!account) return;
      account.credentials = account.credentials.map((credential) =>
        credential.id === id && credential.version === version ? { id, version, passwordHash } : credential,
      );
    },
    async findOrMakeAccount(login) {
      const address = parseAddress(login);
      if (address && domains.has(address.domain) && !addresses.has(keyOf(canonicalAddress(address)))) {
        addAccount({ address: keyOf(canonicalAddress(address)) });
      }
      return toLogin(findAccount(login));
    },
    accountId(address) {
      const account = findAccount(address);
      if (!account) throw new Error(`no account has the address ${address}`);
      return account.accountId;
    },
    lastUse: (key) => uses.get(useKey(key)) ?? null,
  };
}

function oldestPostmaster(
  { domains }: MemoryDirectoryContents,
  addresses: ReadonlyMap<string, AddressFacts>,
): string | null {
  const open = domains.filter(({ suspended = false }) => !suspended);
  const match = (name: string): AddressFacts | undefined => addresses.get(`postmaster@${name}`);
  const found =
    open.find(({ name }) => !['retained', undefined].includes(match(name)?.kind)) ??
    open.find(({ name, catchAll }) => match(name) === undefined && catchAll !== undefined);
  return found ? `postmaster@${found.name}` : null;
}

function useKey({ accountId, id }: CredentialKey): string {
  return `${accountId} ${id}`;
}

function toLogin(account: Account | null): LoginAccount | null {
  if (!account) return null;
  const { accountId, address, isSuspended, credentials } = account;
  return { accountId, address, isSuspended, credentials };
}

function mustParse(text: string): MailAddress {
  const address = parseAddress(text);
  if (!address) throw new Error(`${text} is not an address`);
  return canonicalAddress(address);
}
