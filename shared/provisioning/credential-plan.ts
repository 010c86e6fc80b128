/** What to do so that the logins of MailCredentials follow their resources. Pure; a second run plans nothing. */
import type { SendingLimits, WantedCredential } from './wanted.ts';

export type ObservedCredential = {
  readonly id: bigint;
  readonly resourceUid: string;
  readonly resourceName: string;
  readonly username: string;
  readonly allowedSenders: readonly string[];
  readonly limits: SendingLimits;
  readonly overlapSeconds: number;
  readonly specHash: string;
  /** Whether its present password is the one that is wanted now, or there is none yet. */
  readonly password: 'none' | 'same' | 'other';
  /** When the present password was set; null: there is none. */
  readonly passwordSince: Date | null;
  /** Until when the one before it works; null: there is none. */
  readonly previousUntil: Date | null;
  /** Whether it has passwords that work no more. */
  readonly hasExpired: boolean;
};

export type CredentialAction =
  | { readonly do: 'delete-credential'; readonly id: bigint; readonly uid: string; readonly resourceName: string }
  | {
      readonly do: 'put-credential';
      readonly id: bigint | null;
      readonly uid: string;
      readonly credential: WantedCredential;
    }
  /** `isRotation`: the one that the Secret holds has been used long enough; another is to be generated. */
  | {
      readonly do: 'set-credential-password';
      readonly uid: string;
      readonly credential: WantedCredential;
      readonly isRotation: boolean;
    }
  | { readonly do: 'remove-expired-passwords'; readonly id: bigint; readonly uid: string };

export type CredentialOptions = {
  readonly kept: ReadonlySet<string>;
  /** Names of domains that stay as they are although no resource that is sound has them. */
  readonly keptDomains: ReadonlySet<string>;
  readonly now: Date;
};

export function planCredentials(
  wanted: readonly WantedCredential[],
  observed: readonly ObservedCredential[],
  { kept, keptDomains, now }: CredentialOptions,
): readonly CredentialAction[] {
  if (wanted.length === 0 && observed.length === 0) return [];
  const rows = new Map(observed.flatMap((row) => [[row.resourceUid, row] as const, [row.resourceName, row] as const]));
  // One that was made anew under its old name takes the row up.
  const rowOf = (credential: WantedCredential): ObservedCredential | null =>
    rows.get(credential.uid) ?? rows.get(credential.resourceName) ?? null;
  const takenUp = new Set(wanted.map(rowOf));
  return [
    ...observed
      .filter((row) => !takenUp.has(row) && !kept.has(row.resourceUid))
      .map(({ id, resourceUid: uid, resourceName }) => ({ do: 'delete-credential' as const, id, uid, resourceName })),
    ...observed
      .filter((row) => row.hasExpired)
      .map(({ id, resourceUid: uid }) => ({ do: 'remove-expired-passwords' as const, id, uid })),
    ...wanted.flatMap((each) => {
      const row = rowOf(each);
      return planOne(withSenders(each, row, keptDomains), row, now);
    }),
  ];
}

/** A sender whose domain is in trouble is neither taken away nor let in: the row keeps it, if it has it. */
function withSenders(
  credential: WantedCredential,
  row: ObservedCredential | null,
  keptDomains: ReadonlySet<string>,
): WantedCredential {
  const { allowedSenders, absentSenders } = credential;
  if (absentSenders.length === 0) return credential;
  const stays = (sender: string): boolean =>
    row?.allowedSenders.includes(sender) === true && keptDomains.has(sender.slice(sender.lastIndexOf('@') + 1));
  return {
    ...credential,
    allowedSenders: allowedSenders.filter((sender) => !absentSenders.includes(sender) || stays(sender)),
  };
}

function planOne(credential: WantedCredential, row: ObservedCredential | null, now: Date): readonly CredentialAction[] {
  const { uid } = credential;
  const isRotation = row?.password === 'same' && isDue(credential, row, now);
  const isSet = !isRotation && (row?.password === 'same' || !isKnown(credential));
  return [
    ...(row && isSame(credential, row)
      ? []
      : [{ do: 'put-credential' as const, id: row?.id ?? null, uid, credential }]),
    ...(isSet ? [] : [{ do: 'set-credential-password' as const, uid, credential, isRotation }]),
  ];
}

function isKnown({ password }: WantedCredential): boolean {
  return password.value !== null || password.mayGenerate;
}

/** When the present password is to be replaced; null: never, or there is none yet. */
export function rotationDueAt(
  { intervalSeconds }: Pick<WantedCredential, 'intervalSeconds'>,
  { passwordSince }: Pick<ObservedCredential, 'passwordSince'>,
): Date | null {
  if (intervalSeconds === null || passwordSince === null) return null;
  return new Date(passwordSince.getTime() + intervalSeconds * 1000);
}

function isDue(credential: WantedCredential, row: ObservedCredential, now: Date): boolean {
  const due = rotationDueAt(credential, row);
  return due !== null && due <= now;
}

function isSame(wanted: WantedCredential, row: ObservedCredential): boolean {
  return (
    row.resourceUid === wanted.uid &&
    row.resourceName === wanted.resourceName &&
    row.username === wanted.username &&
    row.specHash === wanted.specHash &&
    row.overlapSeconds === wanted.overlapSeconds &&
    row.allowedSenders.join('\n') === wanted.allowedSenders.join('\n') &&
    row.limits.messagesPerHour === wanted.limits.messagesPerHour &&
    row.limits.messagesPerDay === wanted.limits.messagesPerDay &&
    row.limits.newRecipientsPerDay === wanted.limits.newRecipientsPerDay
  );
}
