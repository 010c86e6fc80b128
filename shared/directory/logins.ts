import type { AccountId } from '#shared/base/ids.ts';
import type { ScramMechanism, ScramVerifier } from './scram.ts';

/** Credentials of one account that are looked at in a login: hashing each takes 35 to 70 ms. */
export const maxCredentials = 20;

export type LoginCredential = {
  readonly id: string;
  /** Higher after each change of the password. */
  readonly version: bigint;
  /** argon2id, as a PHC string. */
  readonly passwordHash: string;
};

/** An account that may be logged in to, if the password is right and it isn't suspended. */
export type LoginAccount = {
  readonly accountId: AccountId;
  /** Its own, also where the login was a further address. */
  readonly address: string;
  /** It, or its domain. */
  readonly isSuspended: boolean;
  /** At most `maxCredentials`, the primary one first. */
  readonly credentials: readonly LoginCredential[];
};

/**
 * A login that hands in mail and does nothing else (MailCredential). Its name has no "@", so it is nobody's address; its
 * passwords are the present one and, for a while, the one before.
 */
export type SubmissionLogin = {
  readonly credentialId: bigint;
  readonly username: string;
  readonly passwords: readonly LoginCredential[];
};

/** With what is kept of each password for one SCRAM mechanism. */
export type SubmissionScram = Omit<SubmissionLogin, 'passwords'> & {
  readonly passwords: readonly { readonly id: string; readonly verifier: ScramVerifier }[];
};

export function isUsername(login: string): boolean {
  return !login.includes('@');
}

export type CredentialKey = { readonly accountId: AccountId; readonly id: string };

/** What logging in needs of storage. Every method throws MailError unavailable when it can't be reached. */
export interface LoginDirectory {
  /**
   * By an address of the account, its own or a further one, also at an alias domain; case makes no difference. Null:
   * there is none, or its resource is gone.
   */
  accountByLogin(login: string): Promise<LoginAccount | null>;
  /** Case makes no difference. Null: there is none, or it has no password that works. */
  submissionLogin(username: string): Promise<SubmissionLogin | null>;
  /** Says that these passwords of submission logins were used at `at`. */
  noteSubmissionUse(ids: readonly string[], at: Date): Promise<void>;
  /** Says that the credentials were used at `at`. */
  noteUse(keys: readonly CredentialKey[], at: Date): Promise<void>;
  /** Puts another hash of the same password, unless the password was changed since `version`. */
  replaceHash(key: CredentialKey, version: bigint, passwordHash: string): Promise<void>;
  /**
   * For development mode: the account with this address in one of our domains, made now if need be, with its
   * mailboxes. Null: the domain is not ours, or the address is an alias's or of a deleted resource.
   */
  findOrMakeAccount(login: string): Promise<LoginAccount | null>;
}

/** An account with what is kept of its primary password for one SCRAM mechanism. */
export type ScramAccount = Pick<LoginAccount, 'accountId' | 'address' | 'isSuspended'> & {
  readonly credentialId: string;
  readonly verifier: ScramVerifier;
};

/** Nobody has the login, or no password. `name` is the same for every way to write an account's address. */
export type ScramNobody = { readonly verifier: null; readonly name: string };

export interface ScramDirectory {
  /**
   * As `LoginDirectory.accountByLogin`. A SCRAM exchange tells one salt, so only the primary password can be used.
   * Throws MailError unavailable; any other error says that the keyring doesn't open the row.
   */
  scramByLogin(login: string, mechanism: ScramMechanism): Promise<ScramAccount | ScramNobody>;
  /** As `LoginDirectory.submissionLogin`. */
  scramByUsername(username: string, mechanism: ScramMechanism): Promise<SubmissionScram | null>;
}
