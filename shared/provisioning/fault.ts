/** What is wrong with a resource, for people (a place in a file, a message) and for conditions (a reason). */

export type Place = { readonly file: string; readonly line: number; readonly column: number };
export type ManifestFault = Place & { readonly message: string };

export type Path = readonly (string | number)[];

/** `uid`: the API server's, or made from kind, namespace and name where there is none (identity.ts). */
export type ResourceRef = {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
};

/** The condition that each reason makes False. */
const conditions = {
  InvalidSpec: 'Accepted',
  ServerNotFound: 'Accepted',
  NotAllowedByServer: 'Accepted',
  PolicyNotFound: 'Accepted',
  RouteNotFound: 'Accepted',
  DomainConflict: 'Accepted',
  DomainNotProved: 'Accepted',
  DomainNotFound: 'Accepted',
  DomainNotReady: 'Accepted',
  NamespaceNotAllowed: 'Accepted',
  AddressConflict: 'Accepted',
  MailboxLimitReached: 'Accepted',
  QuotaLimitReached: 'Accepted',
  NotInThisInstallation: 'Accepted',
  /** The row is that of another resource, or of one that is gone and can't be told from one that is only missing. */
  Conflict: 'Synced',
  UnmanagedRowExists: 'Synced',
  SecretNotFound: 'CredentialsReady',
  KeyMissing: 'CredentialsReady',
  PasswordEmpty: 'CredentialsReady',
  SenderDomainNotFound: 'CredentialsReady',
  SenderNotAllowed: 'CredentialsReady',
  MemberNotFound: 'Resolved',
  CatchAllNotFound: 'Resolved',
  Loop: 'Resolved',
  ExternalMemberForbidden: 'Resolved',
  TooManyAccounts: 'Resolved',
} as const;

export type FaultReason = keyof typeof conditions;
export type FaultCondition = (typeof conditions)[FaultReason];

export type ResourceFault = ManifestFault & {
  readonly resource: ResourceRef;
  readonly reason: FaultReason;
  readonly condition: FaultCondition;
  /** The resource's row stays as it is; else it follows the resource as far as it can. */
  readonly isHolding: boolean;
};

/** With these the row follows its resource all the same: what they speak of may come later, or does no harm. */
const notHolding: ReadonlySet<FaultReason> = new Set<FaultReason>([
  'SecretNotFound',
  'KeyMissing',
  'PasswordEmpty',
  'SenderDomainNotFound',
  'SenderNotAllowed',
  'MemberNotFound',
  'CatchAllNotFound',
]);

export function faultAt({ file, line, column }: Place, message: string): ManifestFault {
  return { file, line, column, message };
}

/** `isHolding` is the reason's own unless it is told. */
export function resourceFault(
  { kind, namespace, name, uid }: ResourceRef,
  place: Place,
  reason: FaultReason,
  message: string,
  isHolding = !notHolding.has(reason),
): ResourceFault {
  const resource = { kind, namespace, name, uid };
  return { ...faultAt(place, message), resource, reason, condition: conditions[reason], isHolding };
}

/** "file:line:column: message", as editors understand it. */
export function formatFault(fault: ManifestFault): string {
  return `${fault.file}:${fault.line}:${fault.column}: ${fault.message}`;
}
