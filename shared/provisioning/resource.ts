/** Typed resources, wherever they were read: from manifests (manifest.ts) or from an API server (cluster-object.ts). */
import type { Path, Place, ResourceRef } from './fault.ts';
import type { MailAliasSpec } from './mail-alias.ts';
import type { MailCredentialSpec } from './mail-credential.ts';
import type { MailDomainSpec } from './mail-domain.ts';
import type { MailPolicySpec } from './mail-policy.ts';
import type { MailRouteSpec } from './mail-route.ts';
import type { MailServerSpec } from './mail-server.ts';
import type { MailboxSpec } from './mailbox.ts';

/** What all resources have. */
export type Resource<Kind extends string = string, Spec = unknown> = ResourceRef & {
  readonly kind: Kind;
  readonly annotations: Readonly<Record<string, string>>;
  /** RFC 3339, as the API server writes it; null: nobody says, as in a folder. */
  readonly createdAt: string | null;
  /** It has a deletionTimestamp: it is there for its finalizers alone. */
  readonly isDeleting: boolean;
  readonly spec: Spec;
  /** Where a field stands, or what is nearest to it. */
  readonly at: (path: Path) => Place;
};

export type MailDomainResource = Resource<'MailDomain', MailDomainSpec>;
export type MailboxResource = Resource<'Mailbox', MailboxSpec>;
export type MailAliasResource = Resource<'MailAlias', MailAliasSpec>;
export type MailRouteResource = Resource<'MailRoute', MailRouteSpec>;
export type MailCredentialResource = Resource<'MailCredential', MailCredentialSpec>;
export type MailPolicyResource = Resource<'MailPolicy', MailPolicySpec>;
export type MailServerResource = Resource<'MailServer', MailServerSpec>;
/** Its values, decoded. */
export type SecretResource = Resource<'Secret', ReadonlyMap<string, string>>;

export type Resources = {
  readonly domains: readonly MailDomainResource[];
  readonly mailboxes: readonly MailboxResource[];
  readonly aliases: readonly MailAliasResource[];
  readonly routes: readonly MailRouteResource[];
  readonly credentials: readonly MailCredentialResource[];
  readonly policies: readonly MailPolicyResource[];
  readonly servers: readonly MailServerResource[];
  readonly secrets: readonly SecretResource[];
};

/** The older one has what both want: by creation, then by UID. Those of a folder stay as they stand. */
export function byAge(a: Resource, b: Resource): number {
  if (a.createdAt === null || b.createdAt === null) return 0;
  // RFC 3339 in UTC sorts as text.
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return a.uid < b.uid ? -1 : 1;
}

/** "Mailbox default/alice" */
export function labelOf({ kind, namespace, name }: ResourceRef): string {
  return `${kind} ${namespace}/${name}`;
}
