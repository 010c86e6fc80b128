import { describe, expect, test } from 'vitest';
import { formatFault } from './fault.ts';
import { parseManifests } from './manifest.ts';
import type { Manifests } from './manifest.ts';

function parse(text: string): Manifests {
  return parseManifests([{ name: 'a.yaml', text }]);
}

function faultsOf(text: string): readonly string[] {
  return parse(text).faults.map(formatFault);
}

const head = 'apiVersion: postrider.dev/v1alpha1\n';
const mailbox = (spec: string): string => `${head}kind: Mailbox\nmetadata: {name: alice}\nspec: ${spec}\n`;
const domain = (spec: string): string => `${head}kind: MailDomain\nmetadata: {name: org}\nspec: ${spec}\n`;
const alias = (spec: string): string => `${head}kind: MailAlias\nmetadata: {name: team}\nspec: ${spec}\n`;

describe('what a manifest says', () => {
  test('several documents in one file, with their defaults', () => {
    const { resources, faults } = parse(
      `# comments alone are no document\n---\n${domain('{domain: example.org, aliasDomains: [example.com]}')}---\n` +
        `${mailbox('{address: alice@example.org, quota: 10Gi, aliases: [sales@example.org]}')}---\n` +
        alias('{address: team@example.org, members: [alice@example.org]}'),
    );
    expect(faults).toEqual([]);
    expect(resources.domains[0]).toMatchObject({
      kind: 'MailDomain',
      namespace: 'default',
      name: 'org',
      spec: { domain: 'example.org', subaddressDelimiter: '+', suspended: false, deletionPolicy: 'Retain' },
    });
    expect(resources.mailboxes[0]?.spec).toEqual({
      address: { localPart: 'alice', domain: 'example.org' },
      state: 'Active',
      quota: 10_737_418_240n,
      password: { mode: 'Generated', length: 32 },
      aliases: [{ localPart: 'sales', domain: 'example.org' }],
      deletionPolicy: 'Retain',
      deletionGracePeriod: 604_800,
      limits: {},
      savesSent: false,
    });
    expect(resources.aliases[0]?.spec.members).toEqual([{ localPart: 'alice', domain: 'example.org' }]);
  });

  test('a Secret’s values, decoded; stringData wins', () => {
    const { resources } = parse(
      'apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: team}\ntype: Opaque\n' +
        'data: {a: cGxhaW4=, b: b2xk}\nstringData: {b: new}\n',
    );
    expect([...(resources.secrets[0]?.spec ?? [])]).toEqual([
      ['a', 'plain'],
      ['b', 'new'],
    ]);
  });

  test('what a cluster adds to a resource is read over', () => {
    const text = `${head}kind: MailDomain\nmetadata: {name: org, uid: x, generation: 2, creationTimestamp: null}\nspec: {domain: example.org}\nstatus: {mailboxes: 3}\n`;
    expect(faultsOf(text)).toEqual([]);
  });

  test('what has no effect yet is accepted, and said', () => {
    const { faults, notices } = parse(domain('{domain: example.org, tls: {mode: Server}, dmarc: {}}'));
    expect(faults).toEqual([]);
    expect(notices.map(formatFault)).toEqual([
      'a.yaml:4:50: MailDomain default/org: spec.dmarc has no effect yet',
      'a.yaml:4:29: MailDomain default/org: spec.tls has no effect yet',
    ]);
  });
});

describe('what is refused, and where it stands', () => {
  test.each([
    ['a: [', 'a.yaml:1:5: not YAML: '],
    ['a: 1\na: 2\n', 'a.yaml:2:1: not YAML: Map keys must be unique'],
    ['just text', 'a.yaml:1:1: kind is missing'],
    [`${head}kind: MailFilter\n`, 'a.yaml:2:1: kind "MailFilter" is not known'],
    [
      'kind: Deployment\n',
      'a.yaml:1:1: kind "Deployment" is not known; known are MailDomain, Mailbox, MailAlias, MailRoute, MailCredential, MailPolicy, MailServer, Secret',
    ],
    [mailbox('{adress: a@b.org, address: a@b.org}'), 'a.yaml:4:8: Mailbox: spec.adress is not a field of this kind'],
    [mailbox('{}'), 'a.yaml:4:1: Mailbox: spec.address is missing'],
    [`${head}kind: Mailbox\nmetadata: {name: alice}\n`, 'a.yaml:1:1: Mailbox: spec is missing'],
    [
      mailbox('{address: alice}'),
      'a.yaml:4:8: Mailbox: spec.address "alice" is not an address such as name@example.org',
    ],
    [
      mailbox('{address: a@b.org, quota: 10 Gi}'),
      'a.yaml:4:26: Mailbox: spec.quota "10 Gi" is not a quantity such as 10Gi or 500M',
    ],
    [mailbox('{address: a@b.org, quota: 10}'), 'Mailbox: spec.quota must be a quantity in quotes, such as "10Gi"'],
    [
      mailbox('{address: a@b.org, state: Gone}'),
      'Mailbox: spec.state must be one of Active, Suspended, ReceiveOnly, SendOnly',
    ],
    [mailbox('{address: a@b.org, state: SendOnly}'), 'Mailbox: spec.state SendOnly is not available yet: '],
    [
      mailbox('{address: a@b.org, forwarding: {to: [x@y.org]}}'),
      'a.yaml:4:26: Mailbox: spec.forwarding is not available yet: ',
    ],
    [
      mailbox('{address: a@b.org, password: {mode: SecretRef}}'),
      'Mailbox: spec.password.secretRef is required with mode SecretRef or Initial',
    ],
    [
      mailbox('{address: a@b.org, password: {mode: External}}'),
      'Mailbox: spec.password.mode External is not available yet: ',
    ],
    [mailbox('{address: a@b.org, password: {length: 4}}'), 'Mailbox: spec.password.length must be 16 at least'],
    [mailbox('{address: a@b.org, protocols: {pop3: true}}'), 'Mailbox: spec.protocols is not available yet: '],
    [domain('{domain: Example.org}'), 'MailDomain: spec.domain must be written as example.org: '],
    [domain('{domain: bücher.example}'), 'MailDomain: spec.domain must be written as xn--bcher-kva.example: '],
    [domain('{domain: localhost}'), 'MailDomain: spec.domain "localhost" is not a domain name with at least one dot'],
    [mailbox('{address: A@b.org}'), 'a.yaml:4:8: Mailbox: spec.address must be written as a@b.org: in lower case'],
    [mailbox('{address: "\\"a\\"@b.org"}'), 'Mailbox: spec.address must be written as a@b.org: '],
    [mailbox('{address: "a@[192.0.2.1]"}'), 'Mailbox: spec.address "a@[192.0.2.1]" is not an address such as '],
    [mailbox('{address: a@b.org, aliases: [c@b.org, c@b.org]}'), 'Mailbox: spec.aliases[1] stands in the list twice'],
    [
      domain('{domain: a.org, allowedNamespaces: {from: Selector}}'),
      'MailDomain: spec.allowedNamespaces.selector is needed with from: Selector, and has no place without it',
    ],
    [
      domain('{domain: a.org, tls: {mode: CertManager}}'),
      'MailDomain: spec.tls.issuerRef is needed with mode CertManager, and has no place without it',
    ],
    [domain('{domain: a.org, tls: {mod: x}}'), 'a.yaml:4:29: MailDomain: spec.tls.mod is not a field of this kind'],
    [domain('{domain: a.org, routeRef: {name: x}}'), 'MailDomain: spec.routeRef is not available yet: '],
    [alias('{address: a@b.org, members: []}'), 'MailAlias: spec.members must name one member at least'],
    [
      alias('{address: a@b.org, members: [x]}'),
      'a.yaml:4:36: MailAlias: spec.members[0] "x" is not an address such as name@example.org',
    ],
    [
      `${head}kind: Mailbox\nmetadata: {name: ../x}\nspec: {address: a@b.org}\n`,
      'a.yaml:3:12: Mailbox: metadata.name must be a name in ',
    ],
    [
      `apiVersion: postrider.dev/v2\nkind: Mailbox\nmetadata: {name: x}\nspec: {address: a@b.org}\n`,
      'a.yaml:1:1: Mailbox: apiVersion is not valid: expected "postrider.dev/v1alpha1"',
    ],
    [
      'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: "not base64!"}\n',
      'a.yaml:4:8: Secret: data.a is not base64; write plain text under stringData',
    ],
    [`a: &x [1]\nb: *x\n`, 'a.yaml:1:1: YAML aliases (*name) are not read; write the value out'],
  ])('%j', (text, expected) => {
    const faults = faultsOf(text);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(expected);
  });

  test('all faults of all files at once, and what is right besides', () => {
    const { faults, resources } = parseManifests([
      { name: 'a.yaml', text: `${mailbox('{address: x, color: red}')}---\n${domain('{domain: example.org}')}` },
      { name: 'b.yaml', text: ': [' },
    ]);
    expect(faults.map(({ file, line }) => `${file}:${line}`)).toEqual(['a.yaml:4', 'a.yaml:4', 'b.yaml:1']);
    expect(resources.domains).toHaveLength(1);
  });

  test('the same resource twice', () => {
    const { faults } = parseManifests([
      { name: 'a.yaml', text: mailbox('{address: a@example.org}') },
      { name: 'b.yaml', text: mailbox('{address: b@example.org}') },
    ]);
    expect(faults.map(formatFault)).toEqual(['b.yaml:3:12: Mailbox default/alice is there twice, first in a.yaml:3']);
  });

  test('no password is quoted in a fault', () => {
    const text = 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: 12345}\n';
    expect(faultsOf(text).join()).not.toContain('12345');
  });
});
