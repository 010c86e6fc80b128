import { formatAddress } from '#shared/text/address.ts';
import type { ObservedAccount } from '#shared/provisioning/observed.ts';
import { addressKey } from '#shared/provisioning/wanted.ts';
import type { WantedDirectory } from '#shared/provisioning/wanted.ts';

/** What the manifests made, for the person who started the program. Holds passwords: not for the log. */
export type ManifestSummary = {
  readonly domains: readonly string[];
  readonly accounts: readonly {
    readonly address: string;
    readonly aliases: readonly string[];
    readonly isSuspended: boolean;
    /** null: it was set once, and its owner has changed it. */
    readonly password: string | null;
    /** The manifest that the password stands in, generated or not. */
    readonly secretFile: string | null;
  }[];
  readonly aliases: readonly { readonly address: string; readonly members: readonly string[] }[];
  /** Changes made to the directory; 0: it was like this already. */
  readonly changes: number;
};

export function summarise(
  { wanted, observed }: { readonly wanted: WantedDirectory; readonly observed: readonly ObservedAccount[] },
  changes: number,
): ManifestSummary {
  const rows = new Map(observed.map((row) => [addressKey(row), row]));
  return {
    domains: wanted.domains.map(({ name }) => name),
    accounts: wanted.accounts.map((account) => ({
      address: formatAddress(account),
      aliases: account.aliases.map(formatAddress),
      isSuspended: account.suspended,
      password: rows.get(addressKey(account))?.password === 'same' ? account.password.value : null,
      secretFile: account.password.secretFile,
    })),
    aliases: wanted.aliases.map((alias) => ({
      address: formatAddress(alias),
      members: alias.members.map(formatAddress),
    })),
    changes,
  };
}
