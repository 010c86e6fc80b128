/** Domains, mailboxes and aliases that want few names of one another, for tests of what becomes of them. */
import fc from 'fast-check';
import type { Manifest } from './cluster-resources.ts';

/** What there is at some moment. */
export type RandomState = {
  /** An API server has each name once. */
  readonly manifests: readonly Manifest[];
  readonly arePurgesDue: boolean;
};

/** `locals`: the local parts of their addresses; the fewer, the more often two want the same. */
export function randomResources(locals: readonly string[]): {
  readonly mailbox: fc.Arbitrary<Manifest>;
  readonly state: fc.Arbitrary<RandomState>;
} {
  const local = fc.constantFrom(...locals);
  const domainName = fc.constantFrom('x.test', 'y.test');
  const address = fc.tuple(local, domainName).map(([name, domain]) => `${name}@${domain}`);
  const policy = fc.constantFrom('Retain', 'Orphan', 'Delete');
  const about = fc.record({
    namespace: fc.constantFrom('n', 'm'),
    name: fc.constantFrom('p', 'q', 'r'),
    age: fc.integer({ min: 1, max: 9 }),
    version: fc.integer({ min: 0, max: 1 }),
    adopts: fc.boolean(),
    isDeleting: fc.boolean(),
  });
  const headOf = (kind: string, each: { namespace: string; name: string; age: number; version: number }) => ({
    name: `${each.namespace}/${each.name}`,
    createdAt: `2026-01-0${each.age}T00:00:00Z`,
    // Two resources of one name, one after the other.
    uid: `${kind}-0000-4000-8000-${each.namespace}${each.name}${each.version}`,
  });
  const domain = fc
    .tuple(about, domainName, policy, fc.constantFrom('Same', 'All'), fc.boolean(), fc.option(address))
    .map(([each, name, deletionPolicy, from, suspended, catchAll]): Manifest => ({
      kind: 'MailDomain',
      ...headOf('d', each),
      isDeleting: each.isDeleting && each.version === 0,
      spec: {
        domain: name,
        serverRef: { name: 'default', namespace: 'mail' },
        deletionPolicy,
        suspended,
        allowedNamespaces: { from },
        ...(catchAll === null ? {} : { catchAll }),
      },
    }));
  const mailbox = fc
    .tuple(about, address, policy, fc.uniqueArray(address, { maxLength: 2 }), fc.constantFrom('1Gi', '2Gi'))
    .map(([each, own, deletionPolicy, aliases, quota]): Manifest => ({
      kind: 'Mailbox',
      ...headOf('b', each),
      isDeleting: each.isDeleting,
      annotations: each.adopts ? { 'postrider.dev/adopt': 'true' } : {},
      spec: { address: own, deletionPolicy, aliases, quota },
    }));
  const alias = fc
    .tuple(about, address, policy, fc.uniqueArray(address, { minLength: 1, maxLength: 3 }))
    .map(([each, own, deletionPolicy, members]): Manifest => ({
      kind: 'MailAlias',
      ...headOf('l', each),
      isDeleting: each.isDeleting,
      spec: { address: own, deletionPolicy, members, allowExternalMembers: true },
    }));
  const state = fc
    .tuple(
      fc.array(domain, { maxLength: 3 }),
      fc.array(mailbox, { maxLength: 5 }),
      fc.array(alias, { maxLength: 4 }),
      fc.boolean(),
    )
    .map(([domains, mailboxes, aliases, arePurgesDue]) => ({
      manifests: [
        ...new Map([...domains, ...mailboxes, ...aliases].map((each) => [`${each.kind} ${each.name}`, each])).values(),
      ],
      arePurgesDue,
    }));
  return { mailbox, state };
}
