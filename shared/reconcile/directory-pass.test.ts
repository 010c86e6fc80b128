import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AccountId } from '#shared/base/ids.ts';
import { resourceFault } from '#shared/provisioning/fault.ts';
import type { ObservedDirectory } from '#shared/provisioning/observed.ts';
import { applyToModel } from '../../test/harness/directory-model.ts';
import { domainOf, mailboxOf, passInput } from '../../test/harness/cluster-resources.ts';
import { randomResources } from '../../test/harness/random-resources.ts';
import type { Manifest } from '../../test/harness/cluster-resources.ts';
import { directoryPass } from './directory-pass.ts';
import type { PassInput, PassResult } from './directory-pass.ts';
import type { StoredDirectory } from './read-directory.ts';

const nothing: ObservedDirectory = { domains: [], accounts: [], aliases: [], routes: [], credentials: [] };

function stored(directory: ObservedDirectory): StoredDirectory {
  return { ...directory, routes: [], credentials: [], primaries: new Map() };
}

/** Without passwords: those are their own tests' concern. */
function pass(directory: ObservedDirectory, manifests: readonly Manifest[], more: Partial<PassInput> = {}): PassResult {
  const result = directoryPass(passInput(stored(directory), manifests, more));
  return { ...result, actions: result.actions.filter((action) => action.do !== 'set-password') };
}

function after(
  directory: ObservedDirectory,
  manifests: readonly Manifest[],
  more: Partial<PassInput> = {},
): ObservedDirectory {
  return applyToModel(directory, pass(directory, manifests, more).actions);
}

/** Reasons by the resource's name. */
function reasons({ verdicts }: PassResult): Readonly<Record<string, readonly string[]>> {
  const faulty = [...verdicts.values()].filter(({ faults }) => faults.length > 0);
  return Object.fromEntries(
    faulty.map(({ ref, faults }) => [`${ref.kind} ${ref.namespace}/${ref.name}`, faults.map(({ reason }) => reason)]),
  );
}

const nowhere = { file: '', line: 0, column: 0 };
const kinds = ({ actions }: PassResult): readonly string[] => actions.map((action) => action.do);
const everywhere = { allowedNamespaces: { from: 'All' } };
const org = domainOf('a/org', 'example.org', everywhere);
const alice = mailboxOf('a/alice', 'alice@example.org');
const bob = mailboxOf('b/bob', 'bob@example.org');
const aliasOf = (name: string, address: string, members: readonly string[], more = {}): Manifest => ({
  kind: 'MailAlias',
  name,
  spec: { address, members, ...more },
});
const many = (count: number): readonly Manifest[] =>
  Array.from({ length: count }, (_, i) => mailboxOf(`a/user${i}`, `user${i}@example.org`));

describe('a fault holds its own resource alone', () => {
  test('the older of two has the address, whichever comes first', () => {
    const young = { ...mailboxOf('a/young', 'alice@example.org'), createdAt: '2026-03-01T00:00:00Z' };
    for (const manifests of [
      [org, alice, young],
      [org, young, alice],
    ]) {
      const result = pass(nothing, manifests);
      expect(reasons(result)).toEqual({ 'Mailbox a/young': ['AddressConflict'] });
      expect(applyToModel(nothing, result.actions).accounts).toMatchObject([{ resourceName: 'a/alice' }]);
    }
  });

  test('two of one age: the smaller UID', () => {
    const one = { ...mailboxOf('a/one', 'x@example.org'), uid: '00000000-0000-4000-8000-000000000002' };
    const other = { ...mailboxOf('a/other', 'x@example.org'), uid: '00000000-0000-4000-8000-000000000001' };
    expect(reasons(pass(nothing, [org, one, other]))).toEqual({ 'Mailbox a/one': ['AddressConflict'] });
  });

  test.each<[string, readonly Manifest[], Readonly<Record<string, readonly string[]>>]>([
    ['no domain', [alice], { 'Mailbox a/alice': ['DomainNotFound'] }],
    [
      'a namespace that is not let in',
      [domainOf('a/org', 'example.org'), alice, bob],
      { 'Mailbox b/bob': ['NamespaceNotAllowed'] },
    ],
    [
      'a second domain of one name',
      [org, { ...domainOf('b/org', 'example.org'), createdAt: '2026-02-01T00:00:00Z' }, alice],
      { 'MailDomain b/org': ['DomainConflict'] },
    ],
    [
      'too many mailboxes: who came last',
      [
        domainOf('a/org', 'example.org', { ...everywhere, limits: { maxMailboxes: 1 } }),
        alice,
        { ...bob, createdAt: '2026-02-01T00:00:00Z' },
      ],
      { 'Mailbox b/bob': ['MailboxLimitReached'] },
    ],
    [
      'quotas beyond the total',
      [
        domainOf('a/org', 'example.org', { limits: { totalQuota: '3Gi', defaultQuota: '2Gi' } }),
        alice,
        { ...mailboxOf('a/carol', 'carol@example.org'), createdAt: '2026-02-01T00:00:00Z' },
        { ...mailboxOf('a/dave', 'dave@example.org', { quota: '1Gi' }), createdAt: '2026-02-02T00:00:00Z' },
      ],
      { 'Mailbox a/carol': ['QuotaLimitReached'] },
    ],
    [
      'a server that is not there',
      [domainOf('a/org', 'example.org', { ...everywhere, serverRef: { name: 'other' } }), alice],
      { 'MailDomain a/org': ['ServerNotFound'], 'Mailbox a/alice': ['DomainNotReady'] },
    ],
    [
      'a policy that is not there',
      [domainOf('a/org', 'example.org', { ...everywhere, policyRef: { name: 'strict' } }), alice],
      { 'MailDomain a/org': ['PolicyNotFound'], 'Mailbox a/alice': ['DomainNotReady'] },
    ],
    [
      'a loop',
      [
        org,
        alice,
        aliasOf('a/x', 'x@example.org', ['y@example.org']),
        aliasOf('a/y', 'y@example.org', ['x@example.org', 'alice@example.org']),
      ],
      { 'MailAlias a/x': ['Loop'], 'MailAlias a/y': ['Loop'] },
    ],
    [
      'a member elsewhere that is not allowed',
      [org, aliasOf('a/x', 'x@example.org', ['far@elsewhere.test'])],
      { 'MailAlias a/x': ['ExternalMemberForbidden'] },
    ],
  ])('%s', (_, manifests, expected) => {
    const result = pass(nothing, manifests);
    expect(reasons(result)).toEqual(expected);
    // Each of the others has its row.
    const held = new Set(Object.keys(expected).map((label) => label.split(' ')[1]));
    const rows = applyToModel(nothing, result.actions);
    const made = new Set([...rows.domains, ...rows.accounts, ...rows.aliases].map(({ resourceUid }) => resourceUid));
    for (const verdict of result.verdicts.values()) {
      if (['MailServer', 'MailPolicy'].includes(verdict.ref.kind)) continue;
      const isHeld = verdict.faults.some(({ isHolding }) => isHolding);
      expect(made.has(verdict.ref.uid)).toBe(!isHeld);
      if (isHeld) expect(held).toContain(`${verdict.ref.namespace}/${verdict.ref.name}`);
    }
  });

  test('the row of one that has a fault now stays as it is, further addresses and all', () => {
    const before = after(nothing, [org, mailboxOf('a/alice', 'alice@example.org', { aliases: ['sales@example.org'] })]);
    const moved = mailboxOf('b/bob', 'bob@example.org', { aliases: ['sales@example.org'] });
    const changed = mailboxOf('a/alice', 'other@example.org', { quota: '1Gi' });
    const result = pass(before, [org, changed, moved]);
    expect(reasons(result)).toEqual({ 'Mailbox a/alice': ['InvalidSpec'], 'Mailbox b/bob': ['AddressConflict'] });
    expect(result.actions).toEqual([]);
  });

  test('a domain with a fault that is in use stays so, and its mailboxes go on', () => {
    const before = after(nothing, [org, alice]);
    const faulty = domainOf('a/org', 'example.org', { ...everywhere, policyRef: { name: 'gone' }, suspended: true });
    const result = pass(before, [faulty, mailboxOf('a/alice', 'alice@example.org', { quota: '1Gi' }), bob]);
    expect(reasons(result)).toEqual({ 'MailDomain a/org': ['PolicyNotFound'] });
    expect(kinds(result)).toEqual(['put-account', 'put-account']);
  });

  test('one that can not be read keeps its row', () => {
    const before = after(nothing, [org, alice, bob]);
    const fault = pass(before, [org, bob]).verdicts;
    expect(fault.size).toBe(3);
    const unreadable = [
      {
        ...passInput(stored(before), []).unreadable[0],
        file: '',
        line: 0,
        column: 0,
        message: 'not understood: spec.quota',
        reason: 'InvalidSpec' as const,
        condition: 'Accepted' as const,
        isHolding: true,
        resource: {
          kind: 'Mailbox',
          namespace: 'a',
          name: 'alice',
          uid: before.accounts.find(({ localPart }) => localPart === 'alice')?.resourceUid ?? '',
        },
      },
    ];
    const result = pass(before, [org, bob], { unreadable });
    expect(result.actions).toEqual([]);
    expect(reasons(result)).toEqual({ 'Mailbox a/alice': ['InvalidSpec'] });
  });

  test('members and catch-alls that are not here yet are no reason to wait', () => {
    const catchAll = domainOf('a/org', 'example.org', { ...everywhere, catchAll: 'postmaster@example.org' });
    const result = pass(nothing, [catchAll, alice, aliasOf('a/x', 'x@example.org', ['late@example.org'])]);
    expect(reasons(result)).toEqual({ 'MailDomain a/org': ['CatchAllNotFound'], 'MailAlias a/x': ['MemberNotFound'] });
    expect(kinds(result)).toEqual(['put-domain', 'put-account', 'put-alias']);
  });

  test('a Secret that is not there yet holds up the password alone', () => {
    const waiting = mailboxOf('a/alice', 'alice@example.org', {
      password: { mode: 'SecretRef', secretRef: { name: 'late' } },
    });
    const result = directoryPass(passInput(stored(nothing), [org, waiting]));
    expect(reasons(result)).toEqual({ 'Mailbox a/alice': ['SecretNotFound'] });
    expect(kinds(result)).toEqual(['put-domain', 'put-account']);
  });

  test('a Secret that was made for another resource is nobody else’s password', () => {
    const secret = (owner: string): Manifest => ({
      kind: 'Secret',
      name: 'a/alice-mailbox',
      data: { password: 'of somebody' },
      annotations: { 'postrider.dev/owner': owner },
    });
    const valueOf = (owner: string) => {
      const { actions } = directoryPass(passInput(stored(nothing), [org, alice, secret(owner)]));
      return actions.flatMap((action) => (action.do === 'set-password' ? [action.account.password.value] : []));
    };
    expect(valueOf('Mailbox/alice')).toEqual(['of somebody']);
    expect(valueOf('Mailbox/bob')).toEqual([null]);
    expect(valueOf('MailCredential/alice')).toEqual([null]);
  });

  test('paused: the row stays as it is, without a fault', () => {
    const before = after(nothing, [org, alice]);
    const changed = mailboxOf('a/alice', 'alice@example.org', { quota: '1Gi' });
    const pausedUids = new Set([before.accounts[0]?.resourceUid ?? '']);
    const result = pass(before, [org, changed], { pausedUids });
    expect(result.actions).toEqual([]);
    expect(reasons(result)).toEqual({});
  });

  test('another’s by now: the row stays as it is, and is none that is missing', () => {
    const before = after(nothing, [org, alice, bob]);
    const foreignUids = new Set(before.accounts.map(({ resourceUid }) => resourceUid ?? ''));
    const result = pass(before, [org], { foreignUids });
    expect(result.actions).toEqual([]);
    expect(result.blocked).toBeNull();
    expect(kinds(pass(before, [org]))).toContain('retire-account');
  });
});

test('a route outside the namespaces of MailServers takes nobody’s mail anywhere', () => {
  const routeOf = (name: string): Manifest => ({ kind: 'MailRoute', name, spec: { targets: [{ type: 'Direct' }] } });
  const result = pass(nothing, [routeOf('mail/ours'), routeOf('a/theirs')]);
  expect(reasons(result)).toEqual({ 'MailRoute a/theirs': ['NotAllowedByServer'] });
  expect(result.actions).toMatchObject([{ do: 'put-route', route: { resourceName: 'mail/ours' } }]);
});

describe('whose a domain is', () => {
  const unproved = { isProved: () => false };

  test('one that nobody has proved does not become local, nor do its alias domains', () => {
    const result = pass(nothing, [domainOf('a/gmail', 'gmail.com'), mailboxOf('a/x', 'x@gmail.com')], unproved);
    expect(reasons(result)).toEqual({ 'MailDomain a/gmail': ['DomainNotProved'], 'Mailbox a/x': ['DomainNotReady'] });
    expect(result.actions).toEqual([]);
    const alias = domainOf('a/org', 'example.org', { aliasDomains: ['gmail.com'] });
    const partly = pass(nothing, [alias, alice], { isProved: (_, name) => name === 'example.org' });
    expect(reasons(partly)).toEqual({});
    expect(kinds(partly)).toEqual(['put-domain', 'put-account']);
    expect([...partly.verdicts.values()].find(({ ref }) => ref.kind === 'MailDomain')?.unproved).toEqual(['gmail.com']);
  });

  test('one that nobody has proved does not stand in the way of who has', () => {
    const squatter = domainOf('a/gmail', 'gmail.com');
    const owner = { ...domainOf('b/gmail', 'gmail.com'), createdAt: '2026-05-01T00:00:00Z' };
    const result = pass(nothing, [squatter, owner], { isProved: ({ namespace }) => namespace === 'b' });
    expect(reasons(result)).toEqual({ 'MailDomain a/gmail': ['DomainNotProved'] });
    expect(kinds(result)).toEqual(['put-domain']);
  });

  test('what is local stays so when the proof can not be seen any more', () => {
    expect(pass(after(nothing, [org, alice]), [org, alice], unproved).actions).toEqual([]);
  });

  test('a domain that was let go of has to be proved anew by who takes it up', () => {
    const retained = after(after(nothing, [org, alice]), [alice]);
    const other = domainOf('c/org', 'example.org', everywhere);
    expect(reasons(pass(retained, [other], unproved))).toEqual({ 'MailDomain c/org': ['DomainNotProved'] });
  });

  describe('that changes hands', () => {
    const old = domainOf('a/org', 'example.org');
    const anew = { ...domainOf('b/org', 'example.org'), createdAt: '2026-05-01T00:00:00Z' };
    const provedBy =
      (...namespaces: readonly string[]): PassInput['isProved'] =>
      ({ namespace }, name) =>
        name === 'example.org' && namespaces.includes(namespace);
    const before = after(nothing, [old, alice, aliasOf('a/info', 'info@example.org', ['alice@example.org'])]);
    const theirs = mailboxOf('b/alice', 'alice@example.org');
    const all = [old, anew, alice, aliasOf('a/info', 'info@example.org', ['alice@example.org']), theirs];
    const moved = { isProved: provedBy('b'), isEstablished: provedBy('b') };

    test('stays where it is as long as its proof stands, or another’s is new', () => {
      const both = { isProved: provedBy('a', 'b'), isEstablished: provedBy('a', 'b') };
      for (const more of [both, { isProved: provedBy('b') }, { ...moved, isEstablished: () => false }]) {
        const result = pass(before, all, more);
        expect(result.actions).toEqual([]);
        expect(reasons(result)['MailDomain b/org']).toEqual(['DomainConflict']);
        expect(reasons(result)['MailDomain a/org']).toBeUndefined();
      }
    });

    test('stays where it is while nobody else has shown to have it, or may', () => {
      const nobody = { isProved: () => false, isEstablished: () => false };
      expect(pass(before, all, nobody).actions).toEqual([]);
      const refused = { ...anew, spec: { ...anew.spec, serverRef: { name: 'other', namespace: 'mail' } } };
      expect(pass(before, [old, alice, refused], moved).actions.map((action) => action.do)).not.toContain(
        'rename-domain',
      );
    });

    test('comes to the new owner empty; what the old one had is kept out of use', () => {
      const result = pass(before, all, moved);
      const rows = applyToModel(before, result.actions);
      expect(reasons(result)).toMatchObject({ 'MailDomain a/org': ['DomainNotProved'] });
      expect(result.verdicts.get(before.domains[0]?.resourceUid ?? '')?.faults[0]?.message).toContain(
        'MailDomain b/org',
      );
      expect(rows.domains.toSorted((one, other) => Number(one.id - other.id))).toMatchObject([
        { name: `${before.domains[0]?.id}.given-up.invalid`, isRetained: true, resourceName: 'a/org' },
        { name: 'example.org', isRetained: false, resourceName: 'b/org' },
      ]);
      expect(rows.accounts).toMatchObject([
        {
          id: before.accounts[0]?.id,
          resourceName: 'a/alice',
          domain: rows.domains.find(({ isRetained }) => isRetained)?.name,
        },
        { resourceName: 'b/alice', domain: 'example.org' },
      ]);
      expect(pass(rows, all, moved).actions).toEqual([]);
      // Also once nobody can see any proof.
      expect(pass(rows, all, { isProved: () => false }).actions).toEqual([]);
    });

    test('comes back with all that it had, when the new owner has lost it in turn', () => {
      const away = applyToModel(before, pass(before, all, moved).actions);
      // Proved anew it is not taken from whom it is meanwhile…
      const both = { isProved: provedBy('a', 'b'), isEstablished: provedBy('b') };
      const contested = pass(away, all, both);
      expect(contested.actions).toEqual([]);
      expect(reasons(contested)['MailDomain a/org']).toEqual(['DomainConflict']);
      // … until that one has lost it.
      const back = { isProved: provedBy('a'), isEstablished: provedBy('a') };
      const rows = applyToModel(away, pass(away, all, back).actions);
      const own = rows.domains.find(({ resourceName }) => resourceName === 'a/org');
      expect(own).toMatchObject({
        id: before.domains[0]?.id,
        name: 'example.org',
        isRetained: false,
        hasOwnName: true,
      });
      expect(rows.accounts.find(({ resourceName }) => resourceName === 'a/alice')).toMatchObject({
        id: before.accounts[0]?.id,
        domain: 'example.org',
        isRetained: false,
      });
      expect(pass(rows, all, back).actions).toEqual([]);
    });

    test('comes back when the new owner’s MailDomain was deleted', () => {
      const away = applyToModel(before, pass(before, all, moved).actions);
      const without = all.filter((manifest) => manifest !== anew && manifest !== theirs);
      const back = { isProved: provedBy('a', 'b'), isEstablished: provedBy('a', 'b') };
      let rows = away;
      for (let passes = 0; passes < 2; passes++) rows = after(rows, without, back);
      expect(rows.domains.find(({ resourceName }) => resourceName === 'a/org')).toMatchObject({
        name: 'example.org',
        isRetained: false,
      });
      expect(pass(rows, without, back).actions).toEqual([]);
    });

    test('an alias domain goes to its new owner by itself', () => {
      const two = domainOf('a/org', 'example.org', { aliasDomains: ['example.net'] });
      const had = after(nothing, [two, alice]);
      const net = { ...domainOf('b/net', 'example.net'), createdAt: '2026-05-01T00:00:00Z' };
      const isNets: PassInput['isProved'] = ({ namespace }, name) =>
        name === 'example.net' ? namespace === 'b' : namespace === 'a';
      const manifests = [two, alice, net];
      const rows = after(had, manifests, { isProved: isNets, isEstablished: isNets });
      expect(rows.domains).toMatchObject([
        { name: 'example.org', aliasDomains: [], isRetained: false },
        { name: 'example.net', isRetained: false },
      ]);
      expect(pass(rows, manifests, { isProved: isNets, isEstablished: isNets }).actions).toEqual([]);
    });
  });

  test('namespaces by their labels', () => {
    const labelled = domainOf('a/org', 'example.org', {
      allowedNamespaces: { from: 'Selector', selector: { matchLabels: { mail: 'yes' } } },
    });
    const namespaceLabels = new Map([['b', { mail: 'yes' }]]);
    expect(reasons(pass(nothing, [labelled, alice, bob], { namespaceLabels }))).toEqual({});
    expect(reasons(pass(nothing, [labelled, alice, bob]))).toEqual({ 'Mailbox b/bob': ['NamespaceNotAllowed'] });
  });
});

describe('many that are missing', () => {
  const guarded = { mayDetachMany: false };
  const full = after(nothing, [org, ...many(40)]);

  test('are left as they are, and it is said how to go on', () => {
    const result = pass(full, [org], guarded);
    expect(result.actions).toEqual([]);
    expect(result.blocked).toMatchObject({ missing: 40, of: 40 });
    expect(result.blocked?.message).toContain('postrider.dev/allow-mass-detach');
  });

  test('a few are let go of', () => {
    const result = pass(full, [org, ...many(38)], guarded);
    expect(result.blocked).toBeNull();
    expect(kinds(result)).toEqual(['retire-account', 'retire-account']);
  });

  test('those whose deletion was seen are let go of, however many', () => {
    const deletedUids = new Set(full.accounts.map(({ resourceUid }) => resourceUid ?? ''));
    const result = pass(full, [org], { ...guarded, deletedUids });
    expect(result.blocked).toBeNull();
    expect(new Set(kinds(result))).toEqual(new Set(['retire-account']));
    const deleting = many(40).map((manifest) => ({ ...manifest, isDeleting: true }));
    expect(pass(full, [org, ...deleting], guarded).actions).toHaveLength(40);
  });

  test('one domain with all mailboxes counts as many', () => {
    const result = pass(full, many(40), guarded);
    expect(result.blocked).toMatchObject({ missing: 40 });
    expect(result.actions).toEqual([]);
  });

  test('a cluster that was built anew: nothing is taken over by resources of the same addresses', () => {
    const anew = [org, ...many(40)].map((manifest, i) => ({
      ...manifest,
      uid: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
    }));
    const result = pass(full, anew, guarded);
    expect(result.actions).toEqual([]);
    expect(new Set(Object.values(reasons(result)).flat())).toEqual(new Set(['Conflict']));
    // Unless the MailServer says that rows are to follow resources of the same name.
    const adopted = pass(full, anew, { ...guarded, mayAdopt: true });
    expect(adopted.blocked).toBeNull();
    expect(reasons(adopted)).toEqual({});
    const rows = applyToModel(full, adopted.actions);
    expect(rows.accounts.map(({ id }) => id)).toEqual(full.accounts.map(({ id }) => id));
    expect(new Set(rows.accounts.map(({ resourceUid }) => resourceUid))).toEqual(
      new Set(anew.slice(1).map(({ uid }) => uid)),
    );
    expect(pass(rows, anew, guarded).actions).toEqual([]);
  });

  test('a name that is another address now is no heir', () => {
    const anew = many(40).map((manifest, i) => ({
      ...manifest,
      spec: { address: `other${i}@example.org` },
      uid: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
    }));
    const result = pass(full, [org, ...anew], { ...guarded, mayAdopt: true });
    expect(result.blocked).toMatchObject({ missing: 40 });
    expect(new Set(kinds(result))).toEqual(new Set(['put-account']));
  });
});

describe('deletion', () => {
  const deleted = (manifest: Manifest): Manifest => ({ ...manifest, isDeleting: true });
  const deletionOf = ({ verdicts }: PassResult, kind: string) =>
    [...verdicts.values()].find(({ ref }) => ref.kind === kind)?.deletion;
  const dying = domainOf('a/org', 'example.org', { ...everywhere, deletionPolicy: 'Delete' });

  test('a domain waits for its mailboxes, unless it is annotated', () => {
    const before = after(nothing, [dying, alice]);
    const waiting = pass(before, [deleted(dying), alice]);
    expect(waiting.actions).toEqual([]);
    expect(deletionOf(waiting, 'MailDomain')).toMatchObject({ state: 'blocked', reason: 'MailboxesRemain' });
    const insisting = { ...deleted(dying), annotations: { 'postrider.dev/delete-with-mailboxes': 'true' } };
    const going = pass(before, [insisting, alice]);
    expect(kinds(going)).toEqual(['retire-domain']);
    expect(deletionOf(going, 'MailDomain')).toMatchObject({ state: 'planned' });
    expect(reasons(going)).toEqual({ 'Mailbox a/alice': ['DomainNotFound'] });
  });

  test('an account goes out of use, which the database carries on by itself', () => {
    const box = mailboxOf('a/alice', 'alice@example.org', { deletionPolicy: 'Delete', deletionGracePeriod: '1h' });
    const before = after(nothing, [org, box]);
    const going = pass(before, [org, deleted(box)]);
    expect(going.actions).toMatchObject([{ do: 'retire-account', purgeAfterSeconds: 3600 }]);
    expect(deletionOf(going, 'Mailbox')).toMatchObject({ state: 'planned' });
    const gone = applyToModel(before, going.actions);
    const later = pass(gone, [org, deleted(box)]);
    expect(later.actions).toEqual([]);
    expect(deletionOf(later, 'Mailbox')).toMatchObject({ state: 'recorded', reason: 'RetentionUntil' });
  });

  test('one that never had a row has nothing to delete, also of another resource', () => {
    const before = after(nothing, [org, alice]);
    const other = { ...mailboxOf('a/other', 'alice@example.org', { deletionPolicy: 'Delete' }), isDeleting: true };
    const result = pass(before, [org, alice, other]);
    expect(result.actions).toEqual([]);
    expect([...result.verdicts.values()].find(({ ref }) => ref.name === 'other')?.deletion).toMatchObject({
      state: 'recorded',
      reason: 'Removed',
    });
  });

  test('one that can not be read goes as its row says, and lets go of its finalizer when it has', () => {
    const box = mailboxOf('a/alice', 'alice@example.org', { deletionPolicy: 'Delete', deletionGracePeriod: '1h' });
    const before = after(nothing, [org, box, bob]);
    const uidOf = (name: string): string =>
      before.accounts.find(({ localPart }) => localPart === name)?.resourceUid ?? '';
    const unreadableAt = (uid: string) =>
      resourceFault({ kind: 'Mailbox', namespace: 'a', name: 'x', uid }, nowhere, 'InvalidSpec', 'not understood');
    const unreadable = ['alice', 'bob'].map((name) => unreadableAt(uidOf(name)));
    const unreadableDeleting = new Set(unreadable.map(({ resource }) => resource.uid));
    const more = { unreadable, unreadableDeleting };
    const going = pass(before, [org], more);
    const purged = going.actions.map((action) =>
      action.do === 'retire-account' ? [action.uid, action.purgeAfterSeconds] : [action.do],
    );
    expect(new Map(purged as [string, number | null][])).toEqual(
      new Map([
        [uidOf('alice'), 3600],
        [uidOf('bob'), null],
      ]),
    );
    expect(deletionOf(going, 'Mailbox')).toMatchObject({ state: 'planned' });
    const gone = pass(applyToModel(before, going.actions), [org], more);
    expect(gone.actions).toEqual([]);
    expect([...gone.verdicts.values()].flatMap(({ deletion }) => deletion?.state ?? [])).toEqual([
      'recorded',
      'recorded',
    ]);
    // Also one that never had a row.
    const unknown = unreadableAt('00000000-0000-4000-8000-00000000000f');
    const never = pass(before, [org, box, bob], {
      unreadable: [unknown],
      unreadableDeleting: new Set([unknown.resource.uid]),
    });
    expect(never.verdicts.get(unknown.resource.uid)?.deletion).toMatchObject({ state: 'recorded', reason: 'Removed' });
  });

  test('mail is not removed while a resource that has a fault names its address', () => {
    const box = mailboxOf('a/alice', 'alice@example.org', { deletionPolicy: 'Delete' });
    const retired = after(after(nothing, [org, box]), [org, deleted(box)]);
    const due: ObservedDirectory = {
      ...retired,
      accounts: retired.accounts.map((row) => ({ ...row, isPurgeDue: true })),
    };
    expect(kinds(pass(due, [org]))).toEqual(['purge-account']);
    const back = { ...mailboxOf('c/alice', 'alice@example.org'), uid: '00000000-0000-4000-8000-000000000009' };
    const closed = domainOf('a/org', 'example.org');
    expect(kinds(pass(due, [closed, back]))).not.toContain('purge-account');
  });
});

describe('random histories', () => {
  const { mailbox, state } = randomResources(['a', 'b', 'c', 'd']);

  /** What no plan may break, whatever it was made from: the keys of the tables. */
  function assertSound({ domains, accounts, aliases }: ObservedDirectory): void {
    const names = domains.flatMap((row) => [row.name, ...row.aliasDomains]);
    expect(new Set(names).size).toBe(names.length);
    const addresses = [...accounts.flatMap((row) => [row, ...row.aliases]), ...aliases].map(
      ({ localPart, domain: at }) => `${localPart}@${at}`,
    );
    expect(new Set(addresses).size).toBe(addresses.length);
    const known = new Set(domains.map(({ name }) => name));
    for (const { domain: at } of [...accounts, ...aliases]) expect(known).toContain(at);
    const uids = [...domains, ...accounts, ...aliases].flatMap(({ resourceUid }) => resourceUid ?? []);
    expect(new Set(uids).size).toBe(uids.length);
  }

  const rowsOf = ({ domains, accounts, aliases }: ObservedDirectory) => [...domains, ...accounts, ...aliases];

  test('end in rows as they are wanted; a second pass plans nothing; what has a fault keeps its row as it is', () => {
    fc.assert(
      fc.property(fc.array(state, { minLength: 1, maxLength: 5 }), fc.boolean(), (history, mayAdopt) => {
        let directory = nothing;
        for (const { manifests, arePurgesDue } of history) {
          if (arePurgesDue) {
            const accounts = directory.accounts.map((row) => ({
              ...row,
              isPurgeDue: row.isRetained && row.deletionPolicy === 'Delete',
            }));
            directory = { ...directory, accounts };
          }
          const result = pass(directory, manifests, { mayAdopt });
          const next = applyToModel(directory, result.actions);
          assertSound(next);
          const held = [...result.verdicts.values()].filter(({ faults }) => faults.some(({ isHolding }) => isHolding));
          for (const { ref } of held) {
            const row = (of: ObservedDirectory) => rowsOf(of).find(({ resourceUid }) => resourceUid === ref.uid);
            expect(row(next)).toEqual(row(directory));
          }
          for (const verdict of result.verdicts.values()) {
            const isHeld = verdict.faults.some(({ isHolding }) => isHolding);
            if (isHeld || verdict.deletion !== null || verdict.ref.kind === 'MailServer') continue;
            const row = rowsOf(next).find(({ resourceUid }) => resourceUid === verdict.ref.uid);
            expect(row).toMatchObject({ managedBy: 'reconciler', isRetained: false });
          }
          expect(pass(next, manifests, { mayAdopt }).actions).toEqual([]);
          directory = next;
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a resource with a fault changes no other’s row', () => {
    fc.assert(
      fc.property(state, state, mailbox, (before, now, faulty) => {
        const directory = after(nothing, before.manifests);
        // Youngest of all, and at a domain that nobody has.
        const broken: Manifest = {
          ...faulty,
          name: 'z/broken',
          uid: 'b-broken',
          isDeleting: false,
          createdAt: '2027-01-01T00:00:00Z',
          spec: { ...faulty.spec, address: 'x@nowhere.test', aliases: [] },
        };
        const without = pass(directory, now.manifests).actions;
        expect(pass(directory, [...now.manifests, broken]).actions).toEqual(without);
      }),
    );
  });

  test('the guard: without it being allowed, a pass over nothing lets go of few rows', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 60 }), (count, left) => {
        const directory = after(nothing, [org, ...many(count)]);
        const kept = Math.min(count, left);
        const { actions, blocked } = pass(directory, [org, ...many(kept)], { mayDetachMany: false });
        const missing = count - kept;
        expect(blocked !== null).toBe(missing > 3 && missing > count * 0.05);
        expect(actions).toHaveLength(blocked ? 0 : missing);
      }),
      { numRuns: 60 },
    );
  });
});

test('rows that somebody made by hand stay, and are taken up by who says so', () => {
  const directory = after(nothing, [org]);
  const loose: ObservedDirectory = {
    ...directory,
    accounts: [
      {
        id: 77n as AccountId,
        domain: 'example.org',
        localPart: 'alice',
        resourceUid: null,
        resourceName: null,
        deletionPolicy: 'Retain',
        isRetained: false,
        managedBy: 'nobody',
        specHash: null,
        displayName: null,
        quotaBytes: null,
        suspended: false,
        graceSeconds: 0,
        isPurgeDue: false,
        hasOwnAddress: true,
        aliases: [{ domain: 'example.org', localPart: 'sales' }],
        limits: { messagesPerHour: null, messagesPerDay: null, newRecipientsPerDay: null, recipientsPerMessage: null },
        savesSent: false,
        password: 'none',
      },
    ],
  };
  expect(reasons(pass(loose, [org, alice]))).toEqual({ 'Mailbox a/alice': ['UnmanagedRowExists'] });
  expect(reasons(pass(loose, [org, mailboxOf('a/sales', 'sales@example.org')]))).toEqual({
    'Mailbox a/sales': ['AddressConflict'],
  });
  const adopting = {
    ...mailboxOf('a/alice', 'alice@example.org', { aliases: ['sales@example.org'] }),
    annotations: { 'postrider.dev/adopt': 'true' },
  };
  expect(after(loose, [org, adopting]).accounts).toMatchObject([{ id: 77n, aliases: [{ localPart: 'sales' }] }]);
});
