import { describe, expect, test } from 'vitest';
import type { AccountId } from '#shared/base/ids.ts';
import { canonicalAddress, parseAddress } from '#shared/text/address.ts';
import { resourceUid } from './identity.ts';
import { formatFault } from './fault.ts';
import { parseManifests } from './manifest.ts';
import type { ObservedAccount, ObservedDirectory } from './observed.ts';
import { planDirectory } from './plan.ts';
import type { Action } from './plan.ts';
import { applyToModel } from '../../test/harness/directory-model.ts';
import { wantedDirectory } from './build-wanted.ts';
import type { Named, WantedDirectory } from './wanted.ts';

const nothing: ObservedDirectory = { domains: [], accounts: [], aliases: [], routes: [], credentials: [] };

function resource(kind: string, name: string, spec: string, more = ''): string {
  return `apiVersion: postrider.dev/v1alpha1\nkind: ${kind}\nmetadata: {name: ${name}${more}}\nspec: ${spec}\n---\n`;
}
const org = resource('MailDomain', 'org', '{domain: example.org, aliasDomains: [example.com]}');
const alice = resource('Mailbox', 'alice', '{address: alice@example.org, aliases: [sales@example.org]}');
const bob = resource('Mailbox', 'bob', '{address: bob@example.org, quota: 1Gi}');
const team = resource(
  'MailAlias',
  'team',
  '{address: team@example.org, members: [alice@example.org, bob@example.com]}',
);
const adopt = ', annotations: {postrider.dev/adopt: "true"}';

function want(...texts: string[]): { wanted: WantedDirectory; faults: readonly string[] } {
  const { resources, faults } = parseManifests([{ name: 'm.yaml', text: texts.join('') }]);
  const result = wantedDirectory(resources, { kind: 'folder', isComplete: faults.length === 0 });
  return { wanted: result.wanted, faults: [...faults, ...result.faults].map(formatFault) };
}

function run(
  observed: ObservedDirectory,
  ...texts: string[]
): { actions: readonly Action[]; faults: readonly string[] } {
  const { wanted, faults } = want(...texts);
  if (faults.length > 0) return { actions: [], faults };
  const plan = planDirectory(wanted, observed, { isComplete: true, now: new Date(0) });
  return { actions: plan.actions, faults: plan.faults.map(formatFault) };
}

function apply(observed: ObservedDirectory, ...texts: string[]): ObservedDirectory {
  const { actions, faults } = run(observed, ...texts);
  expect(faults).toEqual([]);
  const result = applyToModel(observed, actions);
  expect(run(result, ...texts)).toEqual({ actions: [], faults: [] });
  return result;
}

const kinds = (actions: readonly Action[]): readonly string[] => actions.map((action) => action.do);

function named(text: string): Named {
  const address = parseAddress(text);
  if (!address) throw new Error(text);
  return canonicalAddress(address);
}

const purgeable = (observed: ObservedDirectory): ObservedDirectory => ({
  ...observed,
  accounts: observed.accounts.map((row) => Object.assign({}, row, { isPurgeDue: true })),
});

function account(address: string, more: Partial<ObservedAccount> = {}): ObservedAccount {
  return {
    ...named(address),
    id: 99n as AccountId,
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
    aliases: [],
    limits: { messagesPerHour: null, messagesPerDay: null, newRecipientsPerDay: null, recipientsPerMessage: null },
    savesSent: false,
    password: 'none',
    ...more,
  };
}

describe('from nothing', () => {
  test('everything is made, what is needed first comes first', () => {
    const { actions } = run(nothing, team, alice, bob, org);
    expect(kinds(actions)).toEqual([
      'put-domain',
      'add-domain-name',
      'put-account',
      'put-account',
      'put-alias',
      'add-address',
      'set-password',
      'set-password',
    ]);
  });

  test('a second run plans nothing', () => {
    apply(nothing, org, alice, bob, team);
  });
});

describe('changes', () => {
  const made = apply(nothing, org, alice, bob, team);

  test.each([
    ['a quota', resource('Mailbox', 'bob', '{address: bob@example.org, quota: 2Gi}'), ['put-account']],
    [
      'a state',
      resource('Mailbox', 'bob', '{address: bob@example.org, quota: 1Gi, state: Suspended}'),
      ['put-account'],
    ],
    [
      'a further address',
      resource('Mailbox', 'bob', '{address: bob@example.org, quota: 1Gi, aliases: [b@example.org]}'),
      ['put-account', 'add-address'],
    ],
  ])('%s', (_, changed, expected) => {
    expect(kinds(run(made, org, alice, team, changed).actions)).toEqual(expected);
  });

  test('a domain’s default quota reaches its mailboxes', () => {
    const limited = resource(
      'MailDomain',
      'org',
      '{domain: example.org, aliasDomains: [example.com], limits: {defaultQuota: 5Gi}}',
    );
    const { actions } = run(made, limited, alice, bob, team);
    expect(kinds(actions)).toEqual(['put-domain', 'put-account']);
  });

  test('a further address moves from one mailbox to another', () => {
    const { actions } = run(
      made,
      org,
      team,
      resource('Mailbox', 'alice', '{address: alice@example.org}'),
      resource('Mailbox', 'bob', '{address: bob@example.org, quota: 1Gi, aliases: [sales@example.org]}'),
    );
    expect(kinds(actions)).toEqual(['remove-address', 'put-account', 'put-account', 'add-address']);
  });

  test('a row changed by hand is put right', () => {
    const drifted = { ...made, accounts: made.accounts.map((row) => ({ ...row, suspended: true })) };
    expect(kinds(run(drifted, org, alice, bob, team).actions)).toEqual(['put-account', 'put-account']);
  });

  test('another password is set; one the user owns is left', () => {
    const other = {
      ...made,
      accounts: made.accounts.map((row) => Object.assign({}, row, { password: 'other' as const })),
    };
    expect(kinds(run(other, org, alice, bob, team).actions)).toEqual(['set-password', 'set-password']);
    const initial = resource(
      'Mailbox',
      'bob',
      '{address: bob@example.org, quota: 1Gi, password: {mode: Initial, secretRef: {name: s}}}',
    );
    const secret = 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: first}\n---\n';
    expect(kinds(run(other, org, alice, initial, secret, team).actions)).toEqual(['put-account', 'set-password']);
  });
});

describe('a resource that is gone', () => {
  const mailbox = (policy: string): string =>
    resource('Mailbox', 'bob', `{address: bob@example.org, aliases: [b@example.org], deletionPolicy: ${policy}}`);

  test('Retain: the account is kept, its further addresses are free, and it comes back', () => {
    const made = apply(nothing, org, mailbox('Retain'));
    const { actions } = run(made, org);
    expect(actions).toEqual([
      { do: 'remove-address', address: named('b@example.org'), uid: made.accounts[0]?.resourceUid },
      { do: 'retire-account', id: made.accounts[0]?.id, uid: made.accounts[0]?.resourceUid, purgeAfterSeconds: null },
    ]);
    const retained = apply(made, org);
    const back = apply(retained, org, mailbox('Retain'));
    expect(back.accounts).toMatchObject([{ id: made.accounts[0]?.id, isRetained: false }]);
  });

  test('another resource with the address takes a retained account up', () => {
    const made = apply(nothing, org, mailbox('Retain'));
    const renamed = mailbox('Retain').replace('name: bob', 'name: robert');
    const taken = apply(apply(made, org), org, renamed);
    expect(taken.accounts).toMatchObject([
      { id: made.accounts[0]?.id, resourceUid: resourceUid('Mailbox', 'default', 'robert'), isRetained: false },
    ]);
    // Also in one step: the old name went as the new one came.
    expect(apply(made, org, renamed).accounts).toMatchObject([{ id: made.accounts[0]?.id }]);
  });

  test('Delete: kept for the grace period, then removed', () => {
    const made = apply(nothing, org, mailbox('Delete'));
    expect(run(made, org).actions.at(-1)).toMatchObject({ do: 'retire-account', purgeAfterSeconds: 604_800 });
    const retired = apply(made, org);
    const due = purgeable(retired);
    expect(apply(due, org).accounts).toEqual([]);
  });

  test('Orphan: left in use; only an annotated resource takes it up', () => {
    const orphaned = apply(apply(nothing, org, mailbox('Orphan')), org);
    expect(orphaned.accounts).toMatchObject([
      { managedBy: 'nobody', isRetained: false, aliases: [named('b@example.org')] },
    ]);
    expect(run(orphaned, org, bob).faults).toEqual([
      'm.yaml:9:8: bob@example.org is here already and follows no resource; annotate it with postrider.dev/adopt: "true" to take it up with all its mail',
    ]);
    const adopting = resource('Mailbox', 'bob', '{address: bob@example.org}', adopt);
    expect(apply(orphaned, org, adopting).accounts).toMatchObject([{ managedBy: 'reconciler', aliases: [] }]);
  });

  test('an alias: kept, removed, or left in use', () => {
    const alias = (policy: string): string =>
      resource('MailAlias', 'all', `{address: all@example.org, members: [bob@example.org], deletionPolicy: ${policy}}`);
    const gone = (policy: string) => apply(apply(nothing, org, bob, alias(policy)), org, bob).aliases;
    expect(gone('Retain')).toMatchObject([{ isRetained: true }]);
    expect(gone('Delete')).toEqual([]);
    expect(gone('Orphan')).toMatchObject([{ managedBy: 'nobody', isRetained: false }]);
  });

  test('a retained alias makes room for a mailbox', () => {
    const made = apply(apply(nothing, org, alice, bob, team), org, alice, bob);
    const { actions } = run(made, org, alice, bob, resource('Mailbox', 'team', '{address: team@example.org}'));
    expect(kinds(actions)).toEqual(['delete-alias', 'put-account', 'set-password']);
  });

  test('a retained mailbox makes no room for an alias', () => {
    const made = apply(apply(nothing, org, alice, bob), org, alice);
    const alias = resource('MailAlias', 'b', '{address: bob@example.org, members: [alice@example.org]}');
    expect(run(made, org, alice, alias).faults[0]).toContain(
      'bob@example.org is the address of the deleted Mailbox default/bob; its mail is kept',
    );
  });

  test('a domain goes with its mailboxes: kept, left, or removed once it is empty', () => {
    const domain = (policy: string): string =>
      resource('MailDomain', 'd', `{domain: d.test, deletionPolicy: ${policy}}`);
    const box = resource('Mailbox', 'x', '{address: x@d.test, deletionPolicy: Delete}');
    const gone = (policy: string) => apply(apply(nothing, domain(policy), box));
    expect(gone('Retain').domains).toMatchObject([{ isRetained: true }]);
    expect(gone('Orphan').domains).toMatchObject([{ isRetained: false, managedBy: 'nobody' }]);
    const waiting = gone('Delete');
    expect(waiting.domains).toMatchObject([{ isRetained: true }]);
    const due = purgeable(waiting);
    expect(apply(due)).toEqual(nothing);
  });
});

describe('rows that follow no resource', () => {
  const domain = apply(nothing, org);

  test('an account that a development login made is taken up', () => {
    const observed = { ...domain, accounts: [account('bob@example.org', { managedBy: 'login' })] };
    expect(apply(observed, org, bob).accounts).toMatchObject([{ id: 99n, managedBy: 'reconciler' }]);
  });

  test('it is left alone otherwise, and may be an alias’s member', () => {
    const observed = { ...domain, accounts: [account('bob@example.org', { managedBy: 'login' })] };
    const alias = resource('MailAlias', 'b', '{address: b@example.org, members: [bob@example.org]}');
    expect(kinds(run(observed, org, alias).actions)).toEqual(['put-alias']);
  });

  test.each([
    ['nobody', 'bob@example.org is an account here that follows no resource'],
    ['login', 'bob@example.org is an account that a login in development mode made'],
  ] as const)('no alias takes the address of one managed by %s', (managedBy, message) => {
    const observed = { ...domain, accounts: [account('bob@example.org', { managedBy }), account('c@example.org')] };
    const alias = resource('MailAlias', 'b', '{address: bob@example.org, members: [c@example.org]}');
    expect(run(observed, org, alias).faults[0]).toContain(message);
  });
});

describe('faults, with their places', () => {
  const inTeam = (spec: string): string =>
    `apiVersion: postrider.dev/v1alpha1\nkind: Mailbox\nmetadata: {name: x, namespace: other}\nspec: ${spec}\n---\n`;
  const limited = resource('MailDomain', 'org', '{domain: example.org, limits: {maxMailboxes: 1, totalQuota: 1Gi}}');

  test.each([
    [
      'a missing domain',
      [alice],
      [
        'm.yaml:4:8: no MailDomain has the domain example.org of alice@example.org',
        'm.yaml:4:46: no MailDomain has the domain example.org of sales@example.org',
      ],
    ],
    [
      'an alias domain in a mailbox’s own address',
      [org, resource('Mailbox', 'x', '{address: x@example.com}')],
      ['m.yaml:9:8: example.com is an alias domain; write x@example.org, which has both addresses'],
    ],
    [
      'two resources with one address',
      [org, alice, resource('MailAlias', 's', '{address: sales@example.com, members: [alice@example.org]}')],
      ['m.yaml:14:8: sales@example.org is already an address of Mailbox default/alice (m.yaml:9)'],
    ],
    [
      'two domains with one name',
      [org, resource('MailDomain', 'com', '{domain: example.com}')],
      ['m.yaml:9:8: the domain example.com is already that of MailDomain default/org (m.yaml:4)'],
    ],
    [
      'another namespace',
      [org, inTeam('{address: x@example.org}')],
      [
        'm.yaml:9:8: MailDomain default/org lets nobody outside its namespace have addresses at example.org (spec.allowedNamespaces)',
      ],
    ],
    [
      'a missing Secret',
      [org, resource('Mailbox', 'x', '{address: x@example.org, password: {mode: SecretRef, secretRef: {name: s}}}')],
      ['there is no Secret default/s'],
    ],
    [
      'a Secret without the key',
      [
        org,
        resource('Mailbox', 'x', '{address: x@example.org, password: {mode: SecretRef, secretRef: {name: s}}}'),
        'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {pass: x}\n',
      ],
      ['m.yaml:14:1: Secret default/s, the password of Mailbox default/x, has no key password'],
    ],
    [
      'an empty password',
      [
        org,
        resource('Mailbox', 'x', '{address: x@example.org, password: {mode: SecretRef, secretRef: {name: s}}}'),
        'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: ""}\n',
      ],
      [
        'm.yaml:14:14: Secret default/s, the password of Mailbox default/x, has no usable password in its key password: it is empty, too long or holds control characters',
      ],
    ],
    [
      'limits',
      [limited, alice, bob],
      [
        'm.yaml:4:38: example.org has 2 mailboxes, more than its limit of 1',
        'm.yaml:9:8: Mailbox default/alice needs a quota: example.org has a totalQuota',
      ],
    ],
    [
      'a member that is nobody',
      [org, resource('MailAlias', 'x', '{address: x@example.org, members: [a@example.org]}')],
      ['m.yaml:9:42: a@example.org leads to no account, or through more than 8 aliases'],
    ],
    [
      'a catch-all that is nobody',
      [resource('MailDomain', 'org', '{domain: example.org, catchAll: a@example.org}')],
      ['m.yaml:4:29: a@example.org leads to no account, or through more than 8 aliases'],
    ],
    [
      'a loop of aliases',
      [
        org,
        resource('MailAlias', 'x', '{address: x@example.org, members: [y@example.com]}'),
        resource('MailAlias', 'y', '{address: y@example.org, members: [x@example.org]}'),
      ],
      [
        'm.yaml:9:32: MailAlias default/x leads back to itself: x@example.org -> y@example.org -> x@example.org',
        'm.yaml:14:32: MailAlias default/y leads back to itself: y@example.org -> x@example.org -> y@example.org',
      ],
    ],
  ])('%s', (_, texts, expected) => {
    const { faults, actions } = run(nothing, ...texts);
    expect(actions).toEqual([]);
    expect(faults.length).toBe(expected.length);
    for (const [i, message] of expected.entries()) expect(faults[i]).toContain(message);
  });

  test('an address and a domain can’t be changed', () => {
    const made = apply(nothing, org, bob);
    const changed = run(made, org, resource('Mailbox', 'bob', '{address: robert@example.org}'));
    expect(changed.faults).toEqual([
      'm.yaml:9:8: an address can’t be changed: Mailbox default/bob was bob@example.org; make another resource for the new one'.replace(
        '’',
        "'",
      ),
    ]);
    const domain = run(apply(nothing, org), resource('MailDomain', 'org', '{domain: example.net}'));
    expect(domain.faults[0]).toContain("a domain can't be changed: MailDomain default/org was example.org");
  });

  test('a domain without a postmaster is worth a notice', () => {
    const noticesOf = (...texts: string[]): readonly string[] => {
      const { resources } = parseManifests([{ name: 'm.yaml', text: texts.join('') }]);
      return wantedDirectory(resources, { kind: 'folder', isComplete: true }).notices.map(formatFault);
    };
    expect(noticesOf(org, bob)).toEqual([
      'm.yaml:4:8: nobody gets mail for postmaster@example.org, as RFC 5321 section 4.5.1 asks; make it an alias',
    ]);
    expect(
      noticesOf(org, resource('Mailbox', 'x', '{address: x@example.org, aliases: [postmaster@example.com]}')),
    ).toEqual([]);
  });

  test('where manifests have faults of their own, what may be in those is not called missing', () => {
    const { resources, faults } = parseManifests([
      { name: 'm.yaml', text: `${resource('MailDomain', 'org', '{domain: X}')}${alice}${bob}` },
    ]);
    expect(faults).toHaveLength(1);
    expect(wantedDirectory(resources, { kind: 'folder', isComplete: false }).faults).toEqual([]);
  });
});
