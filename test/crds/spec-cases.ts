/** Specs that both the API server and the program take, and such that both refuse. */

type Cases = { readonly accepted: readonly unknown[]; readonly refused: readonly unknown[] };

const many = (count: number, make: (i: number) => string): readonly string[] =>
  Array.from({ length: count }, (_, i) => make(i));
const label = 'a'.repeat(63);

/** In place of `x` of a spec, below. */
const domains: Cases = {
  accepted: ['example.org', 'a.b', 'xn--bcher-kva.example', '1.example', 'a.b-c', 'a.1b', `${label}.${label}.org`],
  refused: [
    'localhost',
    'Example.org',
    'example.org.',
    '.example.org',
    'a..b',
    '-a.org',
    'a-.org',
    'a_b.org',
    '192.0.2.1',
    'a.12',
    'bücher.example',
    `${label}a.org`,
    `${`${label}.`.repeat(4)}org`,
    '',
    7,
    true,
    ['example.org'],
  ],
};

const addresses: Cases = {
  accepted: [
    'a@example.org',
    "o'neil+x_y=z{1}@example.org",
    'a.b.c@sub.example.org',
    '"a b"@example.org',
    '"a\\"b"@example.org',
    '"a@b"@example.org',
    'jürgen@example.org',
    '*@example.org',
    `${'a'.repeat(64)}@example.org`,
  ],
  refused: [
    'a',
    '@example.org',
    'a@',
    'A@example.org',
    'a@Example.org',
    'a@localhost',
    'a@[192.0.2.1]',
    'a@192.0.2.1',
    'a b@example.org',
    '"ab"@example.org',
    '"a\\b"@example.org',
    '""@example.org',
    '.a@example.org',
    'a.@example.org',
    'a..b@example.org',
    'a@b@example.org',
    'a@bücher.example',
    'Name <a@example.org>',
    `${'a'.repeat(65)}@example.org`,
    `a@${`${label}.`.repeat(4)}org`,
    '',
    5,
  ],
};

const quantities: Cases = {
  accepted: ['0', '1', '10Gi', '500M', '5k', '1Ti', '1P', '9223372036854775807', '8191Pi'],
  refused: ['', '10 Gi', '1.5Gi', '-1', '10gi', '10GiB', '1e3', '9223372036854775808', '8192Pi', '99999999999Pi', 10],
};

const durations: Cases = {
  accepted: ['168h', '1h30m', '45s', '1h1m1s', '0s', '999999h'],
  refused: ['', '1d', '1.5h', '30m1h', '1 h', '-1h', 'h', '1', 60],
};

const names: Cases = {
  accepted: ['a', 'a.b-c', '0', 'a'.repeat(253)],
  refused: ['', 'A', 'a_b', '-a', 'a-', 'a..b', '../x', 'a'.repeat(254)],
};

const addressesOfHosts: Cases = {
  accepted: ['192.0.2.1', '2001:db8::1', '::1', '::'],
  refused: [
    '192.0.2',
    '192.0.2.256',
    '192.0.2.01',
    'mail.example.org',
    '2001:db8:::1',
    'fe80::1%eth0',
    '192.0.2.1/24',
    '',
  ],
};

function inPlace({ accepted, refused }: Cases, put: (x: unknown) => unknown): Cases {
  return { accepted: accepted.map(put), refused: refused.map(put) };
}

function all(...parts: readonly Cases[]): Cases {
  return { accepted: parts.flatMap(({ accepted }) => accepted), refused: parts.flatMap(({ refused }) => refused) };
}

const domain = (more: object) => ({ domain: 'example.org', ...more });
const mailbox = (more: object) => ({ address: 'a@example.org', ...more });
const alias = (more: object) => ({ address: 'a@example.org', members: ['b@example.org'], ...more });
const credential = (more: object) => ({ allowedSenders: ['a@example.org'], ...more });
const server = (more: object) => ({ hostname: 'mail.example.org', ...more });
const authority = (more: object) => server({ acme: { termsOfServiceAgreed: true, ...more } });
const target = (more: object) => ({ targets: [more] });
const smarthost = (more: object) => target({ type: 'Smarthost', host: 'relay.example', ...more });

/** Both kinds have them. */
const namespaces = (make: (more: object) => unknown): Cases => ({
  accepted: [
    make({ allowedNamespaces: { from: 'All' } }),
    make({ allowedNamespaces: {} }),
    make({ allowedNamespaces: { from: 'Selector', selector: {} } }),
    make({ allowedNamespaces: { from: 'Selector', selector: { matchLabels: { mail: 'allowed' } } } }),
    make({
      allowedNamespaces: {
        from: 'Selector',
        selector: {
          matchExpressions: [
            { key: 'a', operator: 'In', values: ['b'] },
            { key: 'c', operator: 'Exists' },
          ],
        },
      },
    }),
  ],
  refused: [
    make({ allowedNamespaces: { from: 'Selector' } }),
    make({ allowedNamespaces: { from: 'Same', selector: {} } }),
    make({ allowedNamespaces: { selector: {} } }),
    make({ allowedNamespaces: { from: 'None' } }),
    make({ allowedNamespaces: 'All' }),
    make({ allowedNamespaces: { from: 'Selector', selector: { labels: {} } } }),
    make({ allowedNamespaces: { from: 'Selector', selector: { matchLabels: { a: 1 } } } }),
    make({ allowedNamespaces: { from: 'Selector', selector: { matchExpressions: [{ key: 'a', operator: 'In' }] } } }),
    make({
      allowedNamespaces: {
        from: 'Selector',
        selector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] },
      },
    }),
    make({ allowedNamespaces: { from: 'Selector', selector: { matchExpressions: [{ key: 'a', operator: 'Like' }] } } }),
  ],
});

const certificates = (make: (more: object) => unknown): Cases => ({
  accepted: [
    make({ tls: {} }),
    make({ tls: { mode: 'SelfSigned' } }),
    make({ tls: { mode: 'CertManager', issuerRef: { name: 'le', kind: 'ClusterIssuer' } } }),
    make({ tls: { mode: 'CertManager', issuerRef: { name: 'le', group: 'example.org' } } }),
    make({ tls: { mode: 'Secret', secretRef: { name: 'mine' } } }),
  ],
  refused: [
    make({ tls: { mode: 'CertManager' } }),
    make({ tls: { mode: 'Secret' } }),
    make({ tls: { mode: 'SelfSigned', secretRef: { name: 'mine' } } }),
    make({ tls: { mode: 'Secret', secretRef: { name: 'mine' }, issuerRef: { name: 'le' } } }),
    make({ tls: { mode: 'CertManager', issuerRef: { name: 'le', kind: 'Authority' } } }),
    make({ tls: { mode: 'CertManager', issuerRef: { name: 'le', group: '' } } }),
    make({ tls: { mode: 'ACME', secretRef: { name: 'mine' } } }),
    make({ tls: { mode: 'acme' } }),
    make({ tls: { mod: 'Secret' } }),
  ],
});

const newRecipients = (make: (more: object) => unknown): Cases => ({
  accepted: [make({ limits: { newRecipientsPerDay: 5 } })],
  refused: [make({ limits: { newRecipientsPerDay: -1 } })],
});

const limits = (make: (more: object) => unknown): Cases => ({
  accepted: [make({ limits: {} }), make({ limits: { messagesPerHour: 0, messagesPerDay: 9007199254740991 } })],
  refused: [
    make({ limits: { messagesPerHour: -1 } }),
    make({ limits: { messagesPerDay: 1.5 } }),
    make({ limits: { newRecipientsPerDay: '5' } }),
    make({ limits: { messagesPerMonth: 5 } }),
    make({ limits: [] }),
  ],
});

const deletion = (make: (more: object) => unknown): Cases => ({
  accepted: ['Retain', 'Orphan', 'Delete'].map((deletionPolicy) => make({ deletionPolicy })),
  refused: ['retain', 'Keep', '', 1].map((deletionPolicy) => make({ deletionPolicy })),
});

export const cases: Readonly<Record<string, Cases>> = {
  MailServer: all(
    inPlace(domains, (hostname) => ({ hostname })),
    inPlace(domains, (name) => server({ domains: [name] })),
    inPlace(addressesOfHosts, (address) => server({ publicAddresses: [address] })),
    namespaces(server),
    certificates(server),
    {
      accepted: [
        server({ domains: ['*.test', '*.example.org', 'example.org'] }),
        server({ tls: { mode: 'None' } }),
        server({ acme: { termsOfServiceAgreed: true } }),
        server({ tls: { mode: 'ACME' }, acme: { termsOfServiceAgreed: true } }),
        authority({ directoryUrl: 'https://acme.example:14000/dir', contacts: ['ops@example.org'] }),
        authority({ directoryUrl: 'https://[2001:db8::1]/' }),
        authority({ externalAccountBinding: { keyId: 'k', secretRef: { name: 'eab' } } }),
        authority({ caBundle: '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n' }),
        server({ adoptFrom: 'SameName' }),
        server({ domains: many(1000, (i) => `d${i}.test`) }),
      ],
      refused: [
        {},
        'mail.example.org',
        server({ domains: ['*'] }),
        server({ domains: ['*.*.test'] }),
        server({ domains: ['*.Test'] }),
        server({ domains: ['a.test', 'a.test'] }),
        server({ domains: many(1001, (i) => `d${i}.test`) }),
        server({ publicAddresses: ['192.0.2.1', '192.0.2.1'] }),
        server({ publicAddresses: many(17, (i) => `192.0.2.${i}`) }),
        server({ tls: { mode: 'Server' } }),
        server({ tls: { mode: 'ACME' } }),
        server({ acme: {} }),
        server({ acme: { termsOfServiceAgreed: false } }),
        authority({ directoryUrl: 'http://acme.example/dir' }),
        authority({ directoryUrl: 'https://' }),
        authority({ directoryUrl: 'https://a b/' }),
        authority({ contacts: ['Ops@example.org'] }),
        authority({ contacts: ['a@example.org', 'a@example.org'] }),
        authority({ contacts: many(9, (i) => `a${i}@example.org`) }),
        authority({ externalAccountBinding: { keyId: 'k' } }),
        authority({ externalAccountBinding: { keyId: '', secretRef: { name: 'eab' } } }),
        authority({ caBundle: 'nonsense' }),
        authority({ email: 'ops@example.org' }),
        server({ adoptFrom: 'All' }),
        server({ database: { secretRef: { name: 'pg' } } }),
      ],
    },
  ),
  MailDomain: all(
    inPlace(domains, (name) => ({ domain: name })),
    inPlace(domains, (name) => domain({ aliasDomains: [name] })),
    inPlace(addresses, (catchAll) => domain({ catchAll })),
    inPlace(addresses, (rua) => domain({ dmarc: { rua: [rua] } })),
    inPlace(quantities, (defaultQuota) => domain({ limits: { defaultQuota } })),
    inPlace(quantities, (totalQuota) => domain({ limits: { totalQuota } })),
    inPlace(durations, (interval) => domain({ dkim: { rotation: { interval } } })),
    inPlace(durations, (overlap) => domain({ dkim: { rotation: { overlap } } })),
    inPlace(durations, (maxAge) => domain({ mtaSts: { maxAge } })),
    inPlace(durations, (verifyInterval) => domain({ dns: { verifyInterval } })),
    inPlace(names, (name) => domain({ serverRef: { name } })),
    inPlace(names, (name) => domain({ policyRef: { name } })),
    namespaces(domain),
    certificates(domain),
    limits(domain),
    newRecipients(domain),
    deletion(domain),
    {
      accepted: [
        ...['', '+', '-', '=', '_', '.', '~', '#', '!', '$', '%', '&', '*', '/', '?', '^', '|'].map(
          (subaddressDelimiter) => domain({ subaddressDelimiter }),
        ),
        domain({ dkim: { algorithms: [] } }),
        domain({ dkim: { algorithms: ['ed25519'] } }),
        domain({ dkim: {} }),
        domain({ dmarc: { policy: 'reject', percent: 0 } }),
        domain({ dmarc: {}, mtaSts: {}, tls: {}, dns: {}, limits: {} }),
        domain({ tls: { mode: 'ACME' } }),
        domain({ mtaSts: { mode: 'enforce' } }),
        domain({ dns: { publish: 'DNSEndpoint', verify: false } }),
        domain({ suspended: true }),
        domain({ serverRef: { name: 'x', namespace: 'y' } }),
        domain({ limits: { maxMailboxes: 0 } }),
        domain({ aliasDomains: many(32, (i) => `d${i}.test`) }),
      ],
      refused: [
        {},
        [],
        domain({ subaddressDelimiter: '+-' }),
        domain({ subaddressDelimiter: 'a' }),
        domain({ subaddressDelimiter: '@' }),
        domain({ subaddressDelimiter: 'ä' }),
        domain({ dkim: { algorithms: ['rsa1024'] } }),
        domain({ dkim: { algorithms: ['ed25519', 'ed25519'] } }),
        domain({ dkim: { keySecretRef: { name: 'x' } } }),
        domain({ dmarc: { policy: 'Reject' } }),
        domain({ dmarc: { percent: 101 } }),
        domain({ dmarc: { rua: ['a@example.org', 'a@example.org'] } }),
        domain({ mtaSts: { mode: 'off' } }),
        domain({ dns: { publish: 'Zone' } }),
        domain({ dns: { verify: 'true' } }),
        domain({ tls: { mode: 'None' } }),
        domain({ suspended: 'yes' }),
        domain({ serverRef: {} }),
        domain({ serverRef: { name: 'x', namespace: 'a.b' } }),
        domain({ limits: { maxMailboxes: -1 } }),
        domain({ aliasDomains: ['a.test', 'a.test'] }),
        domain({ aliasDomains: many(33, (i) => `d${i}.test`) }),
        domain({ routeRef: { name: 'x' } }),
        domain({ colour: 'red' }),
      ],
    },
  ),
  Mailbox: all(
    inPlace(addresses, (address) => ({ address })),
    inPlace(addresses, (address) => mailbox({ aliases: [address] })),
    inPlace(quantities, (quota) => mailbox({ quota })),
    inPlace(durations, (deletionGracePeriod) => mailbox({ deletionGracePeriod })),
    inPlace(names, (name) => mailbox({ password: { mode: 'SecretRef', secretRef: { name } } })),
    limits(mailbox),
    newRecipients(mailbox),
    deletion(mailbox),
    {
      accepted: [
        mailbox({ displayName: 'Alice Ä. Ω' }),
        mailbox({ displayName: 'a'.repeat(256) }),
        mailbox({ state: 'Suspended' }),
        mailbox({ password: {} }),
        mailbox({ password: { length: 16 } }),
        mailbox({ password: { mode: 'Initial', secretRef: { name: 'x', key: 'pw' } } }),
        mailbox({ limits: { recipientsPerMessage: 1000 } }),
        mailbox({ savesSent: true }),
        mailbox({ aliases: many(64, (i) => `a${i}@example.org`) }),
      ],
      refused: [
        {},
        mailbox({ displayName: 'a'.repeat(257) }),
        mailbox({ displayName: 7 }),
        mailbox({ state: 'ReceiveOnly' }),
        mailbox({ password: { mode: 'SecretRef' } }),
        mailbox({ password: { mode: 'Initial' } }),
        mailbox({ password: { mode: 'Generated', secretRef: { name: 'x' } } }),
        mailbox({ password: { secretRef: { name: 'x' } } }),
        mailbox({ password: { mode: 'External' } }),
        mailbox({ password: { length: 15 } }),
        mailbox({ password: { length: 129 } }),
        mailbox({ password: { mode: 'SecretRef', secretRef: { name: 'x', key: '' } } }),
        mailbox({ password: { mode: 'SecretRef', secretRef: { name: 'x', namespace: 'other' } } }),
        mailbox({ password: { rotationInterval: '720h' } }),
        mailbox({ limits: { recipientsPerMessage: 0 } }),
        mailbox({ limits: { recipientsPerMessage: 1001 } }),
        mailbox({ aliases: ['b@example.org', 'b@example.org'] }),
        mailbox({ aliases: many(65, (i) => `a${i}@example.org`) }),
        mailbox({ protocols: { imap: true } }),
        mailbox({ forwarding: { to: ['x@example.org'] } }),
        mailbox({ policyRef: { name: 'x' } }),
      ],
    },
  ),
  MailAlias: all(
    inPlace(addresses, (address) => ({ address, members: ['b@example.org'] })),
    inPlace(addresses, (member) => alias({ members: [member] })),
    deletion(alias),
    {
      accepted: [
        alias({ allowExternalMembers: true, sendAs: true }),
        alias({ members: many(1000, (i) => `a${i}@example.org`) }),
      ],
      refused: [
        {},
        { address: 'a@example.org' },
        alias({ members: [] }),
        alias({ members: 'b@example.org' }),
        alias({ members: ['b@example.org', 'b@example.org'] }),
        alias({ members: many(1001, (i) => `a${i}@example.org`) }),
        alias({ whoMaySend: 'Anyone' }),
        alias({ sendAs: 1 }),
      ],
    },
  ),
  MailCredential: all(
    inPlace(addresses, (address) => credential({ allowedSenders: [address] })),
    inPlace(names, (secretName) => credential({ secretName })),
    inPlace(durations, (overlap) => credential({ rotation: { interval: '720h', overlap } })),
    limits(credential),
    {
      accepted: ['1m', '60s', '720h', '999999h999999m999999s'].map((interval) =>
        credential({ rotation: { interval } }),
      ),
      refused: [
        {},
        credential({ allowedSenders: [] }),
        credential({ allowedSenders: ['a@example.org', 'a@example.org'] }),
        credential({ allowedSenders: many(65, (i) => `a${i}@example.org`) }),
        credential({ rotation: {} }),
        ...['59s', '0h', '', '1d', '1000000h'].map((interval) => credential({ rotation: { interval } })),
        credential({ limits: { messagesPerMinute: 60 } }),
      ],
    },
  ),
  MailRoute: all(
    inPlace(domains, (name) => ({ match: { senderDomains: [name] }, targets: [{ type: 'Direct' }] })),
    inPlace(domains, (name) => ({ match: { recipientDomains: [name] }, targets: [{ type: 'Direct' }] })),
    inPlace(addressesOfHosts, (address) => target({ type: 'Direct', sourceAddresses: [address] })),
    inPlace(addressesOfHosts, (address) => smarthost({ socks: { address } })),
    inPlace(names, (name) => smarthost({ authSecretRef: { name } })),
    {
      accepted: [
        target({ type: 'Direct' }),
        target({ type: 'Capture' }),
        target({ type: 'Capture', priority: 5, weight: 2 }),
        smarthost({}),
        smarthost({ tls: {} }),
        ...['Required', 'Implicit', 'Opportunistic', 'Disabled'].map((mode) => smarthost({ tls: { mode } })),
        ...['Opportunistic', 'Required', 'DANE', 'MTASTS', 'Disabled'].map((mode) =>
          target({ type: 'Direct', tls: { mode } }),
        ),
        smarthost({ tls: { caSecretRef: { name: 'ca' } } }),
        smarthost({
          port: 465,
          sourceAddresses: ['192.0.2.1'],
          socks: { address: '192.0.2.2', port: 1, authSecretRef: { name: 'x' } },
        }),
        ...['relay', '192.0.2.1', '2001:db8::1', 'a.b.c'].map((host) => smarthost({ host })),
        target({ type: 'LMTP', host: '/run/lmtp.sock' }),
        target({ type: 'LMTP', host: 'lmtp.example', port: 2003 }),
        target({ type: 'Direct', allowedNetworks: ['10.0.0.0/8', '192.0.2.1/32', 'fd00::/8', '0.0.0.0/0'] }),
        ...[
          'http://a.example',
          'https://a.example:8443/in/x?y=z',
          'https://192.0.2.1/',
          'http://[2001:db8::1]:80/',
        ].map((url) => target({ type: 'HTTP', url })),
        target({ type: 'HTTP', url: 'https://a.example/', signingSecretRef: { name: 'x', key: 'y' } }),
        { match: {}, limits: {}, priority: 0, targets: [{ type: 'Direct' }, { type: 'Smarthost', host: 'a' }] },
        { match: { recipientDomains: ['*.b.example', '*.invalid'] }, targets: [{ type: 'Direct' }] },
        { targets: [{ type: 'Direct' }], limits: { maxConnections: 10000, messagesPerMinute: 1 } },
        { targets: many(32, () => '').map(() => ({ type: 'Direct' })) },
      ],
      refused: [
        {},
        { targets: [] },
        { targets: many(33, () => '').map(() => ({ type: 'Direct' })) },
        { targets: [{ type: 'Capture' }, { type: 'Direct' }] },
        { match: { senderDomains: ['*'] }, targets: [{ type: 'Direct' }] },
        { match: { senderDomains: ['a.b', 'a.b'] }, targets: [{ type: 'Direct' }] },
        { targets: [{ type: 'Direct' }], limits: { maxConnections: 0 } },
        { targets: [{ type: 'Direct' }], limits: { maxConnections: 10001 } },
        { targets: [{ type: 'Direct' }], limits: { messagesPerMinute: 0 } },
        { targets: [{ type: 'Direct' }], priority: -1 },
        { targets: [{ type: 'Direct' }], priority: 1000001 },
        target({}),
        target({ type: 'Pigeon' }),
        target({ type: 'Smarthost' }),
        target({ type: 'LMTP' }),
        target({ type: 'HTTP' }),
        target({ type: 'Direct', host: 'a.example' }),
        target({ type: 'Direct', url: 'https://a.example' }),
        target({ type: 'Direct', authSecretRef: { name: 'x' } }),
        target({ type: 'Direct', tls: { mode: 'Implicit' } }),
        target({ type: 'Direct', tls: { caSecretRef: { name: 'x' } } }),
        target({ type: 'Capture', port: 25 }),
        target({ type: 'Capture', tls: {} }),
        target({ type: 'Capture', sourceAddresses: [] }),
        target({ type: 'HTTP', url: 'https://a.example', socks: { address: '192.0.2.1' } }),
        target({ type: 'LMTP', host: 'a', authSecretRef: { name: 'x' } }),
        target({ type: 'LMTP', host: 'a', allowedNetworks: [] }),
        target({ type: 'LMTP', host: `/${'a'.repeat(101)}` }),
        smarthost({ host: '/run/x.sock' }),
        smarthost({ host: 'bad host' }),
        smarthost({ host: 'Relay.example' }),
        smarthost({ host: '' }),
        smarthost({ port: 0 }),
        smarthost({ port: 65536 }),
        smarthost({ tls: { mode: 'DANE' } }),
        smarthost({ tls: { mode: 'required' } }),
        smarthost({ weight: 0 }),
        smarthost({ weight: 1001 }),
        smarthost({ socks: {} }),
        smarthost({ signingSecretRef: { name: 'x' } }),
        ...['10.0.0.0/99', '010.0.0.0/8', '10.0.0.0/08', '10.0.0.0', '10.0.0.0/', 'fd00::/129', 'x/8'].map((network) =>
          target({ type: 'Direct', allowedNetworks: [network] }),
        ),
        ...['ftp://a.example', 'a.example', 'https://', 'https://a b/', 'https://u:p@a.example/', 'javascript:1'].map(
          (url) => target({ type: 'HTTP', url }),
        ),
      ],
    },
  ),
  MailPolicy: all(
    inPlace(quantities, (maxMessageSize) => ({ maxMessageSize })),
    {
      accepted: [{}, { requireInboundTLS: true }],
      refused: [{ requireInboundTLS: 'true' }, { spam: {} }, [], 'strict'],
    },
  ),
};
