/** The rows that resources ask for. */
import type { DeletionPolicy } from '#shared/db/directory-tables.ts';
import type { DkimAlgorithm } from '#shared/db/sending-tables.ts';
import type { MailAddress } from '#shared/text/address.ts';
import type { Path, Place, ResourceRef } from './fault.ts';
import type { WantedRoute } from './mail-route-wanted.ts';

export type Wanted = {
  readonly uid: string;
  readonly ref: ResourceRef;
  /** namespace/name, for the row. */
  readonly resourceName: string;
  /** Kind and name, for messages. */
  readonly label: string;
  readonly at: (path: Path) => Place;
  readonly deletionPolicy: DeletionPolicy;
  readonly specHash: string;
  readonly isAdopting: boolean;
};

/** See 0008-sending.sql; null: the server's own. */
export type SendingLimits = {
  readonly messagesPerHour: number | null;
  readonly messagesPerDay: number | null;
  readonly newRecipientsPerDay: number | null;
};

export type WantedDomain = Wanted & {
  readonly name: string;
  readonly aliasDomains: readonly string[];
  readonly subaddressDelimiter: string | null;
  readonly catchAll: MailAddress | null;
  readonly suspended: boolean;
  readonly limits: SendingLimits;
  readonly dkim: {
    readonly algorithms: readonly DkimAlgorithm[];
    /** Null: keys are not replaced. */
    readonly rotationSeconds: number | null;
    readonly overlapSeconds: number;
  };
  /** Of its MailPolicy; null: the server's own limit. */
  readonly maxMessageBytes: bigint | null;
  readonly requiresInboundTls: boolean;
};

/** The name of an account or alias; `domain` is the domain's own name. */
export type Named = { readonly domain: string; readonly localPart: string };

export type WantedPassword = {
  /** Prepared. null: there is no Secret yet. */
  readonly value: string | null;
  /** What there is to do without a value: one is generated with `length` characters, else the password stays as it is. */
  readonly mayGenerate: boolean;
  readonly length: number;
  /** The manifest of the Secret; null: there is none yet. */
  readonly secretFile: string | null;
  /** The Secret that it is in, or would be generated into, and its mark (generate-password.ts). */
  readonly source: { readonly namespace: string; readonly name: string; readonly mark: string | undefined };
  /** It follows the Secret; else it is set once, and the user's from then on. */
  readonly isFollowed: boolean;
};

export type WantedAccount = Wanted &
  Named & {
    readonly displayName: string | null;
    readonly quotaBytes: bigint | null;
    readonly suspended: boolean;
    readonly graceSeconds: number;
    /** Further addresses. */
    readonly aliases: readonly Named[];
    readonly password: WantedPassword;
    readonly limits: SendingLimits & { readonly recipientsPerMessage: number | null };
    readonly savesSent: boolean;
  };

export type WantedAlias = Wanted &
  Named & {
    readonly members: readonly MailAddress[];
    readonly sendAs: boolean;
    /** Members at domains that are not here are a fault. */
    readonly refusesExternal: boolean;
  };

/** A login that hands in mail and does nothing else. */
export type WantedCredential = Omit<Wanted, 'deletionPolicy' | 'isAdopting'> & {
  readonly username: string;
  /** Canonical addresses; the local part "*" stands for all of the domain. Domains that it may not use are left out. */
  readonly allowedSenders: readonly string[];
  /** Those of them at domains that no MailDomain has at the moment. */
  readonly absentSenders: readonly string[];
  readonly limits: SendingLimits;
  /** Null: the password is not replaced by itself. */
  readonly intervalSeconds: number | null;
  /** How long the password before the present one works too. */
  readonly overlapSeconds: number;
  readonly secretName: string;
  readonly password: WantedPassword;
};

export type WantedDirectory = {
  readonly domains: readonly WantedDomain[];
  readonly accounts: readonly WantedAccount[];
  readonly aliases: readonly WantedAlias[];
  readonly routes: readonly WantedRoute[];
  readonly credentials: readonly WantedCredential[];
};

export function uidsOf({ domains, accounts, aliases, routes, credentials }: WantedDirectory): ReadonlySet<string> {
  return new Set([...domains, ...accounts, ...aliases, ...routes, ...credentials].map(({ uid }) => uid));
}

/** How an address is named in the plan: unique, since a domain has no "@". */
export function addressKey({ localPart, domain }: Named): string {
  return `${localPart}@${domain}`;
}

/** The Secret that holds a Mailbox's generated password. */
export function generatedSecretName(mailboxName: string): string {
  return `${mailboxName}-mailbox`;
}

/** The Secret that holds the login of a MailCredential, unless its spec names another. */
export function credentialSecretName(credentialName: string): string {
  return `${credentialName}-smtp`;
}
