/**
 * Objects of an API server as typed resources. Its schema let them in, but may be older or newer than this program, so
 * each is read with care. The result is to be kept and handed in again while the object is the same: what is made from
 * a spec is remembered by it.
 */
import type { z } from 'zod';
import { resourceFault } from './fault.ts';
import type { Place, ResourceFault, ResourceRef } from './fault.ts';
import { mailAliasSpec } from './mail-alias.ts';
import { mailCredentialSpec } from './mail-credential.ts';
import { mailDomainSpec } from './mail-domain.ts';
import { mailPolicySpec } from './mail-policy.ts';
import { mailRouteSpec } from './mail-route.ts';
import { mailServerSpec } from './mail-server.ts';
import { mailboxSpec } from './mailbox.ts';
import type { Resource, SecretResource } from './resource.ts';

const specs = {
  MailDomain: mailDomainSpec,
  Mailbox: mailboxSpec,
  MailAlias: mailAliasSpec,
  MailRoute: mailRouteSpec,
  MailCredential: mailCredentialSpec,
  MailPolicy: mailPolicySpec,
  MailServer: mailServerSpec,
} as const;

export type ClusterKind = keyof typeof specs;

export type ClusterObject = {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly uid?: string | undefined;
    readonly annotations?: Readonly<Record<string, string>> | undefined;
    readonly creationTimestamp?: string | undefined;
    readonly deletionTimestamp?: string | undefined;
  };
};

type Read<Kind extends ClusterKind> =
  | { readonly resource: Resource<Kind, z.output<(typeof specs)[Kind]>>; readonly fault: null }
  | { readonly resource: null; readonly fault: ResourceFault };

/** The fault quotes no values: whoever may see a status need not be who may see a spec. */
export function readClusterObject<Kind extends ClusterKind>(
  kind: Kind,
  object: ClusterObject & { readonly spec?: unknown },
): Read<Kind> {
  const about = describe(kind, object);
  const result = specs[kind].safeParse(object.spec);
  if (!result.success) return { resource: null, fault: invalid(about, result.error) };
  return { resource: { ...about, spec: result.data as z.output<(typeof specs)[Kind]> }, fault: null };
}

export function readClusterSecret(
  object: ClusterObject & { readonly data?: Readonly<Record<string, string>> | undefined },
): SecretResource {
  const values = Object.entries(object.data ?? {}).map(
    ([key, text]) => [key, Buffer.from(text, 'base64').toString('utf8')] as const,
  );
  return { ...describe('Secret', object), spec: new Map(values) };
}

const nowhere: Place = { file: '', line: 0, column: 0 };
const at = (): Place => nowhere;

function describe<Kind extends string>(kind: Kind, { metadata }: ClusterObject): Omit<Resource<Kind>, 'spec'> {
  return {
    kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid ?? '',
    annotations: metadata.annotations ?? {},
    createdAt: metadata.creationTimestamp ?? null,
    isDeleting: metadata.deletionTimestamp !== undefined,
    at,
  };
}

function invalid(ref: ResourceRef, error: z.ZodError): ResourceFault {
  const paths = error.issues.map(({ path }) => ['spec', ...path.map(String)].join('.'));
  const message = `not understood: ${[...new Set(paths)].slice(0, 10).join(', ')}`;
  return resourceFault(ref, nowhere, 'InvalidSpec', message);
}
