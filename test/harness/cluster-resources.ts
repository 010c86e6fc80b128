/** Resources as an API server would have them, for tests of what is made of them. */
import { createKeyring } from '#shared/directory/keyring.ts';
import { readClusterObject, readClusterSecret } from '#shared/provisioning/cluster-object.ts';
import type { ClusterKind } from '#shared/provisioning/cluster-object.ts';
import { resourceUid } from '#shared/provisioning/identity.ts';
import { ownerAnnotation, secretOwner } from '#shared/provisioning/secret.ts';
import type { Resources } from '#shared/provisioning/resource.ts';
import type { PassInput } from '#shared/reconcile/directory-pass.ts';
import type { StoredDirectory } from '#shared/reconcile/read-directory.ts';

export const testKeyring = createKeyring(new Map([['k', Buffer.alloc(32, 7)]]), 'k');

export type Manifest = {
  readonly kind: ClusterKind | 'Secret';
  /** namespace/name */
  readonly name: string;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly createdAt?: string;
  readonly uid?: string;
  readonly isDeleting?: boolean;
  /** Of a Secret. */
  readonly data?: Readonly<Record<string, string>>;
};

/** Throws for a spec that is not one. */
function resourcesOf(manifests: readonly Manifest[]): Resources {
  const of = <Kind extends ClusterKind>(kind: Kind) =>
    manifests
      .filter((manifest) => manifest.kind === kind)
      .map((manifest) => {
        const { resource, fault } = readClusterObject(kind, objectOf(manifest));
        if (fault) throw new Error(`${manifest.name}: ${fault.message}`);
        return resource;
      });
  return {
    domains: of('MailDomain'),
    mailboxes: of('Mailbox'),
    aliases: of('MailAlias'),
    routes: of('MailRoute'),
    credentials: of('MailCredential'),
    policies: of('MailPolicy'),
    servers: of('MailServer'),
    secrets: manifests.filter(({ kind }) => kind === 'Secret').map((each) => readClusterSecret(objectOf(each))),
  };
}

function objectOf({ kind, name, spec, annotations, createdAt, uid, isDeleting, data }: Manifest) {
  const [namespace = '', own = ''] = name.split('/');
  const encoded = Object.entries(data ?? {}).map(([key, text]) => [key, Buffer.from(text).toString('base64')] as const);
  return {
    metadata: {
      namespace,
      name: own,
      uid: uid ?? resourceUid(kind, namespace, own),
      annotations: annotations ?? (kind === 'Secret' ? madeFor(own) : {}),
      creationTimestamp: createdAt ?? '2026-01-01T00:00:00Z',
      ...(isDeleting === true ? { deletionTimestamp: '2026-02-01T00:00:00Z' } : {}),
    },
    spec,
    data: Object.fromEntries(encoded),
  };
}

/** As the operator makes them, by their usual names. */
function madeFor(secretName: string): Readonly<Record<string, string>> {
  const [, name = '', suffix] = /^(.*)-(mailbox|smtp)$/.exec(secretName) ?? [];
  return suffix === undefined
    ? {}
    : { [ownerAnnotation]: secretOwner({ kind: suffix === 'smtp' ? 'MailCredential' : 'Mailbox', name }) };
}

const mailServer: Manifest = {
  kind: 'MailServer',
  name: 'mail/default',
  spec: { hostname: 'mail.example.org', allowedNamespaces: { from: 'All' } },
};

export function domainOf(name: string, domain: string, more: Readonly<Record<string, unknown>> = {}): Manifest {
  return { kind: 'MailDomain', name, spec: { domain, serverRef: { name: 'default', namespace: 'mail' }, ...more } };
}

export function mailboxOf(name: string, address: string, more: Readonly<Record<string, unknown>> = {}): Manifest {
  return { kind: 'Mailbox', name, spec: { address, ...more } };
}

/** Every domain is proved, and every deletion seen, unless told otherwise. */
export function passInput(
  stored: StoredDirectory,
  manifests: readonly Manifest[],
  more: Partial<PassInput> = {},
): PassInput {
  return {
    resources: resourcesOf([mailServer, ...manifests]),
    unreadable: [],
    stored,
    keyring: testKeyring,
    isProved: () => true,
    namespaceLabels: new Map(),
    deletedUids: new Set(),
    mayDetachMany: true,
    mayAdopt: false,
    now: new Date(),
    ...more,
  };
}
