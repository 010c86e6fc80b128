import { expect, test } from 'vitest';
import type { MailDomain } from '#operator/api/mail-domain.ts';
import type { Mailbox } from '#operator/api/mailbox.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { ownershipNow } from './ownership.ts';
import type { OwnObject, ResourceCache } from './resource-caches.ts';

const apiVersion = 'postrider.dev/v1alpha1';

function metadataOf(name: string, createdAt: string): KubeObject['metadata'] {
  const [namespace = '', own = ''] = name.split('/');
  const creationTimestamp = `${createdAt}T00:00:00Z`;
  return { namespace, name: own, uid: name, resourceVersion: '1', creationTimestamp };
}

function domainOf(name: string, createdAt: string, spec: Partial<MailDomain['spec']>): MailDomain {
  const serverRef = { namespace: 'mail', name: 'main' };
  return {
    apiVersion,
    kind: 'MailDomain',
    metadata: metadataOf(name, createdAt),
    spec: { domain: 'example.org', serverRef, ...spec },
  } as MailDomain;
}

function mailboxOf(name: string): Mailbox {
  return {
    apiVersion,
    kind: 'Mailbox',
    metadata: metadataOf(name, '2026-05-01'),
    spec: { address: 'alice@example.org' },
  } as Mailbox;
}

/** Of the release in the namespace `mail`, which does not watch `elsewhere`. */
function isOurs(domains: readonly MailDomain[], object: OwnObject): boolean {
  const cacheOf = <T extends KubeObject>(items: readonly T[]) => ({ items: () => items }) as ResourceCache<T>;
  return ownershipNow({
    resources: { domains: cacheOf(domains), otherServers: cacheOf([]), namespaces: cacheOf([]) },
    namespace: 'mail',
    config: { watchedNamespaces: ['mail', 'a', 'b', 'c'] },
  })(object);
}

const everybody = { from: 'All' } as const;
const elsewhere = { namespace: 'elsewhere', name: 'main' };

test('a MailDomain of another release that lets everybody in has nothing of a namespace with its own', () => {
  const ours = domainOf('a/org', '2026-02-01', {});
  const older = domainOf('b/net', '2026-01-01', {
    domain: 'example.net',
    aliasDomains: ['example.org'],
    allowedNamespaces: everybody,
    serverRef: elsewhere,
  });
  expect(isOurs([ours, older], mailboxOf('a/alice'))).toBe(true);
});

test('elsewhere the oldest that lets the namespace in counts', () => {
  const ours = domainOf('a/org', '2026-02-01', { allowedNamespaces: everybody });
  const theirs = domainOf('b/org', '2026-01-01', { allowedNamespaces: everybody, serverRef: elsewhere });
  expect(isOurs([ours, theirs], mailboxOf('c/alice'))).toBe(false);
  expect(isOurs([ours, { ...theirs, metadata: metadataOf('b/org', '2026-03-01') }], mailboxOf('c/alice'))).toBe(true);
});
