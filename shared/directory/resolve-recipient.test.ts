import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';
import { maxAliasDepth, resolveRecipient } from './resolve-recipient.ts';
import type { AddressFacts, DirectoryFacts, DomainFacts } from './resolve-recipient.ts';

function at(text: string): MailAddress {
  const address = parseAddress(text);
  if (!address) throw new Error(`${text} is no address`);
  return address;
}

const plain = { subaddressDelimiter: '+', catchAll: null, suspended: false };
const domains: Record<string, DomainFacts> = {
  'example.org': { ...plain, name: 'example.org' },
  'example.com': { ...plain, name: 'example.org' },
  'caught.test': { ...plain, name: 'caught.test', catchAll: at('alice+caught@example.org') },
  'dash.test': { ...plain, name: 'dash.test', subaddressDelimiter: '-' },
  'exact.test': { ...plain, name: 'exact.test', subaddressDelimiter: null },
  'closed.test': { ...plain, name: 'closed.test', suspended: true },
};
const alias = (...members: string[]): AddressFacts<string> => ({ kind: 'alias', members: members.map(at) });
const account = (accountId: string): AddressFacts<string> => ({ kind: 'account', accountId });

const addresses: Record<string, AddressFacts<string>> = {
  'alice@example.org': account('alice'),
  'sales@example.org': account('alice'),
  'alice+vip@example.org': account('vip'),
  'bob@example.org': account('bob'),
  'gone@example.org': { kind: 'retained' },
  'team@example.org': alias('alice@example.org', 'BOB+team@example.com', 'alice+x@example.org'),
  'all@example.org': alias('team@example.org', 'carol@dash.test', 'sales@example.org'),
  'loop@example.org': alias('pool@example.org', 'bob@example.org'),
  'pool@example.org': alias('loop@example.org'),
  'self@example.org': alias('self@example.org'),
  'away@example.org': alias('somebody@remote.test', 'gone@example.org'),
  'shut@example.org': alias('gone@example.org', 'x@closed.test'),
  'carol@dash.test': account('carol'),
  'dave@exact.test': account('dave'),
  'gone@caught.test': { kind: 'retained' },
  'erin@closed.test': account('erin'),
};
for (let n = 0; n <= maxAliasDepth; n++) {
  addresses[`deep${n}@example.org`] = alias(n === 0 ? 'bob@example.org' : `deep${n - 1}@example.org`);
}

const facts: DirectoryFacts<string> = {
  domain: (name) => domains[name] ?? null,
  address: (domain, localPart) => addresses[`${localPart}@${domain}`] ?? null,
};

describe('whom an address leads to', () => {
  test.each([
    ['an account’s own address', 'alice@example.org', ['alice']],
    ['in any case', 'ALICE@Example.ORG', ['alice']],
    ['a further address of an account', 'sales@example.org', ['alice']],
    ['an address at an alias domain', 'bob@example.com', ['bob']],
    ['a sub-address', 'bob+lists@example.org', ['bob']],
    ['a sub-address that is an address itself', 'alice+vip@example.org', ['vip']],
    ['a sub-address with the domain’s own delimiter', 'carol-lists@dash.test', ['carol']],
    ['an alias: each account once', 'team@example.org', ['alice', 'bob']],
    ['a sub-address of an alias', 'team+news@example.org', ['alice', 'bob']],
    ['an alias of aliases', 'all@example.org', ['carol', 'alice', 'bob']],
    ['an alias in a loop: whom it names besides', 'loop@example.org', ['bob']],
    ['an unknown name where a catch-all is', 'anybody@caught.test', ['alice']],
    ['the deepest alias that is followed', `deep${maxAliasDepth - 1}@example.org`, ['bob']],
  ])('%s', (_, address, expected) => {
    const resolution = resolveRecipient(at(address), facts);
    expect(resolution.kind).toBe('accounts');
    if (resolution.kind === 'accounts') expect(resolution.accountIds.toSorted()).toEqual(expected.toSorted());
    if (resolution.kind === 'accounts') expect(resolution.elsewhere).toEqual([]);
  });

  test('an alias of an address elsewhere, whatever else it names', () => {
    const elsewhere = [at('somebody@remote.test')];
    expect(resolveRecipient(at('away@example.org'), facts)).toEqual({ kind: 'accounts', accountIds: [], elsewhere });
  });

  test.each([
    ['a name nobody has', 'nobody@example.org', 'unknown'],
    ['a sub-address of a name nobody has', 'nobody+x@example.org', 'unknown'],
    ['another delimiter', 'bob-lists@example.org', 'unknown'],
    ['a sub-address where there are none', 'dave+x@exact.test', 'unknown'],
    ['a retained address', 'gone@example.org', 'unknown'],
    ['a retained address is not the catch-all’s', 'gone@caught.test', 'unknown'],
    ['an alias of itself', 'self@example.org', 'unknown'],
    ['an alias deeper than is followed', `deep${maxAliasDepth}@example.org`, 'unknown'],
    ['any address of a suspended domain', 'erin@closed.test', 'suspended'],
    ['an alias of addresses of a suspended domain', 'shut@example.org', 'suspended'],
    ['a domain that is not ours', 'alice@elsewhere.test', 'remote'],
    ['an address literal', 'alice@[127.0.0.1]', 'remote'],
  ])('%s: %s is %s', (_, address, kind) => {
    expect(resolveRecipient(at(address), facts)).toEqual({ kind });
  });
});

test('aliases of any shape end, and name each account once', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const members = fc.array(fc.constantFrom(...names, 'u', 'v'), { maxLength: 4 });
  fc.assert(
    fc.property(fc.tuple(members, members, members, members, members), (graph) => {
      const table: Record<string, AddressFacts<string>> = { u: account('u'), v: account('v') };
      names.forEach((name, i) => (table[name] = alias(...(graph[i] ?? []).map((member) => `${member}@example.org`))));
      const local = { ...facts, address: (_: string, localPart: string) => table[localPart] ?? null };
      const resolution = resolveRecipient(at('a@example.org'), local);
      const reachable = new Set(['a']);
      for (const name of reachable) {
        for (const member of graph[names.indexOf(name)] ?? []) reachable.add(member);
      }
      const expected = ['u', 'v'].filter((name) => reachable.has(name));
      const found = resolution.kind === 'accounts' ? resolution.accountIds.toSorted() : [];
      expect(found).toEqual(expected);
    }),
  );
});
