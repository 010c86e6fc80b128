import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { resourceUid } from '#shared/provisioning/identity.ts';
import type { ObservedDirectory } from '#shared/provisioning/observed.ts';
import { addressKey } from '#shared/provisioning/wanted.ts';
import { domainOf, mailboxOf, passInput, type Manifest } from '../../test/harness/cluster-resources.ts';
import { applyToModel } from '../../test/harness/directory-model.ts';
import { randomResources } from '../../test/harness/random-resources.ts';
import { directoryPass, type PassInput, type PassResult } from './directory-pass.ts';
import { partOf, partPass, type Claimant, type Part } from './part-pass.ts';
import type { StoredDirectory } from './read-directory.ts';

const nothing: ObservedDirectory = { domains: [], accounts: [], aliases: [], routes: [], credentials: [] };

function stored(directory: ObservedDirectory): StoredDirectory {
  return { ...directory, routes: [], credentials: [], primaries: new Map() };
}

function uidOf({ kind, name, uid }: Manifest): string {
  const [namespace = '', own = ''] = name.split('/');
  return uid ?? resourceUid(kind, namespace, own);
}

/** As `readPart`. */
function rowsOf(directory: ObservedDirectory, { uids, addresses }: Part): ObservedDirectory {
  const keys = new Set(addresses.map(addressKey));
  const isAt = (row: ObservedDirectory['aliases'][number] | ObservedDirectory['accounts'][number]): boolean =>
    keys.has(addressKey(row)) || ('aliases' in row && row.aliases.some((each) => keys.has(addressKey(each))));
  return {
    ...directory,
    accounts: directory.accounts.filter((row) => uids.has(row.resourceUid ?? '') || isAt(row)),
    aliases: directory.aliases.filter(isAt),
  };
}

/** A pass over some of the Mailboxes, as the operator makes one. */
function somePass(
  directory: ObservedDirectory,
  manifests: readonly Manifest[],
  isSome: (manifest: Manifest) => boolean,
  more: Partial<PassInput> = {},
): { readonly part: Part; readonly result: PassResult } | null {
  const some = manifests.filter((each) => (each.kind === 'Mailbox' ? isSome(each) : each.kind !== 'MailAlias'));
  const { resources } = passInput(stored(directory), some);
  const claimants = manifests
    .filter(({ kind }) => kind === 'Mailbox' || kind === 'MailAlias')
    .map((each) => ({ metadata: { uid: uidOf(each) }, spec: each.spec }) as unknown as Claimant);
  const part = partOf(resources.mailboxes, resources, claimants);
  const result = part && partPass(passInput(stored(rowsOf(directory, part)), some, more), part);
  return part && result && { part, result };
}

function wholePass(
  directory: ObservedDirectory,
  manifests: readonly Manifest[],
  more: Partial<PassInput> = {},
): PassResult {
  return directoryPass(passInput(stored(directory), manifests, more));
}

/** Rows, whatever the order in which they were made. */
function contents({ domains, accounts, aliases }: ObservedDirectory): readonly unknown[] {
  const withoutId = (key: string, value: unknown): unknown => {
    if (key === 'id') return undefined;
    return typeof value === 'bigint' ? `${value}` : value;
  };
  return [domains, accounts, aliases].map((rows) => rows.map((row) => JSON.stringify(row, withoutId)).toSorted());
}

describe('random histories', () => {
  // So many that most have to do with nobody.
  const { state } = randomResources('abcdefghijklmnopqrstuvwx'.split(''));

  /** Which of the Mailboxes are looked at; most often one. */
  const mask = fc.oneof(fc.constantFrom(1, 2, 4, 8), fc.nat(31));
  const isCalm = fc.oneof(fc.constant(true), fc.constant(true), fc.boolean());
  /** Most often a part is looked at where no domain is in trouble. */
  const calm = (manifests: readonly Manifest[]): readonly Manifest[] => {
    const domains = new Map(
      manifests.flatMap((each) => (each.kind === 'MailDomain' ? [[each.spec?.['domain'], each] as const] : [])),
    );
    const others = manifests.filter(({ kind }) => kind !== 'MailDomain');
    return [
      ...[...domains.values()].map((each) => ({
        ...each,
        isDeleting: false,
        spec: { ...each.spec, allowedNamespaces: { from: 'All' } },
      })),
      ...new Map(
        others.map((each) => [
          `${each.kind} ${each.name}`,
          { ...each, isDeleting: each.kind !== 'Mailbox' && each.isDeleting === true },
        ]),
      ).values(),
    ];
  };

  test('what is planned for some is what is planned for them among all, and then leads to the same', () => {
    let compared = 0;
    let changed = 0;
    fc.assert(
      fc.property(
        fc.array(state, { maxLength: 3 }),
        state,
        fc.record({ mask, mayAdopt: fc.boolean(), mayDetachMany: fc.boolean(), isCalm }),
        (history, { manifests }, { mask, mayAdopt, mayDetachMany, isCalm }) => {
          const more = { mayAdopt, mayDetachMany };
          let directory = nothing;
          for (const each of history) {
            directory = applyToModel(directory, wholePass(directory, each.manifests, more).actions);
          }
          const all = isCalm ? calm([...(history.at(-1)?.manifests ?? []), ...manifests]) : manifests;
          if (isCalm) {
            const domains = all.filter(({ kind }) => kind === 'MailDomain');
            const settling = wholePass(directory, domains, { ...more, mayDetachMany: false });
            directory = applyToModel(directory, settling.actions);
          }
          const boxes = all.filter(({ kind }) => kind === 'Mailbox');
          const some = somePass(directory, all, (each) => ((mask >> boxes.indexOf(each)) & 1) === 1, more);
          if (some === null) return;
          const { part, result } = some;
          const whole = wholePass(directory, all, more);
          const isSome = ({ uid }: { readonly uid: string | null }): boolean => part.uids.has(uid ?? '');
          expect(result.actions).toEqual(whole.actions.filter(isSome));
          for (const uid of part.uids) expect(result.verdicts.get(uid)).toEqual(whole.verdicts.get(uid));
          expect(result.verdicts.size).toBe(part.uids.size);
          compared += part.uids.size;
          changed += result.actions.length;
          const between = applyToModel(directory, result.actions);
          const rest = wholePass(between, all, more).actions;
          const end = applyToModel(between, rest);
          expect(contents(end)).toEqual(contents(applyToModel(directory, whole.actions)));
        },
      ),
      { numRuns: 1_500 },
    );
    // Where it is never known what some have to do with others, nothing was tested.
    expect(compared).toBeGreaterThan(100);
    expect(changed).toBeGreaterThan(50);
  });
});

describe('nothing is said of some', () => {
  const org = domainOf('a/org', 'example.org', { aliasDomains: ['example.com'], allowedNamespaces: { from: 'All' } });
  const alice = mailboxOf('a/alice', 'alice@example.org');
  const isAlice = (manifest: Manifest): boolean => manifest === alice;
  const settled = applyToModel(nothing, wholePass(nothing, [org]).actions);

  test('unless nothing else has to do with them', () => {
    const bob = mailboxOf('b/bob', 'bob@example.org', { aliases: ['robert@example.org'] });
    expect(somePass(settled, [org, alice, bob], isAlice)?.result.actions).toMatchObject([
      { do: 'put-account' },
      { do: 'set-password' },
    ]);
  });

  test.each<[string, readonly Manifest[]]>([
    ['another mailbox wants the address', [org, alice, mailboxOf('b/other', 'alice@example.org')]],
    [
      'another wants it as a further one, at another name of the domain',
      [org, alice, mailboxOf('b/other', 'x@example.org', { aliases: ['alice@example.com'] })],
    ],
    [
      'an alias wants it',
      [
        org,
        alice,
        { kind: 'MailAlias', name: 'a/l', spec: { address: 'alice@example.org', members: ['x@example.org'] } },
      ],
    ],
    ['there is no such domain', [alice]],
    ['two want the domain', [org, domainOf('b/org', 'example.org', { allowedNamespaces: { from: 'All' } }), alice]],
    ['the domain is not there yet', [domainOf('a/org', 'example.net'), mailboxOf('a/alice', 'alice@example.net')]],
    [
      'the domain counts its mailboxes',
      [domainOf('a/org', 'example.org', { allowedNamespaces: { from: 'All' }, limits: { maxMailboxes: 9 } }), alice],
    ],
  ])('where %s', (_, manifests) => {
    expect(somePass(settled, manifests, ({ name }) => name === 'a/alice')).toBeNull();
  });

  test('where a row at the address follows another, or nobody', () => {
    const before = applyToModel(settled, wholePass(settled, [org, mailboxOf('b/old', 'alice@example.org')]).actions);
    expect(somePass(before, [org, alice], isAlice)).toBeNull();
    const accounts = before.accounts.map((row) => ({ ...row, resourceUid: null, resourceName: null }));
    expect(somePass({ ...before, accounts }, [org, alice], isAlice)).toBeNull();
  });

  test('and what others have lost is not looked at', () => {
    const before = applyToModel(settled, wholePass(settled, [org, mailboxOf('b/gone', 'gone@example.org')]).actions);
    const actions = somePass(before, [org, alice], isAlice)?.result.actions ?? [];
    expect(actions.map(({ do: action }) => action)).toEqual(['put-account', 'set-password']);
  });
});
