/** A status of each kind with every field in it, as the operator may write it. */

const time = '2026-11-21T12:00:00Z';

function condition(type: string, status: 'True' | 'False' | 'Unknown', reason: string, message = '') {
  return { type, status, reason, message, observedGeneration: 1, lastTransitionTime: time };
}

const ready = [condition('Ready', 'True', 'Ready'), condition('Accepted', 'True', 'Accepted')];
const tls = {
  mode: 'CertManager',
  secretName: 'example-org-tls',
  names: ['mail.example.org'],
  notAfter: time,
  renewalTime: time,
  failedAttempts: 0,
  nextAttemptTime: time,
};

export const samples: Readonly<
  Record<
    string,
    { readonly spec: object; readonly status: object; readonly columns: Readonly<Record<string, unknown>> }
  >
> = {
  MailServer: {
    spec: { hostname: 'mail.example.org' },
    status: {
      observedGeneration: 1,
      conditions: ready,
      replicas: '3/3',
      version: '0.1.0',
      schemaVersion: 12,
      instances: [{ name: 'mx-0', roles: ['mx'], version: '0.1.0', startedAt: time }],
      domains: 2,
      mailboxes: 40,
      queue: { waiting: 1200, held: 3, oldest: time, observedAt: time },
      tls,
      database: {
        version: '18.1',
        fsync: true,
        synchronousCommit: 'on',
        synchronousStandbys: 1,
        maxConnections: 100,
        connectionBudget: 60,
      },
    },
    columns: {
      Hostname: 'mail.example.org',
      Ready: 'True',
      Reason: 'Ready',
      Replicas: '3/3',
      Version: '0.1.0',
      Schema: 12,
      Queue: 1200,
    },
  },
  MailDomain: {
    spec: { domain: 'example.org' },
    status: {
      observedGeneration: 1,
      conditions: [
        ...ready,
        condition('DNSReady', 'False', 'MXMissing', 'no MX record'),
        condition('DKIMReady', 'True', 'AwaitingDNS'),
        condition('CertificateReady', 'True', 'Issued'),
      ],
      domainId: '7',
      mailboxes: 40,
      aliases: 3,
      challenge: { name: '_postrider-challenge.example.org', value: 'abc', state: 'Missing' },
      dkim: [
        {
          selector: 'p1r',
          algorithm: 'rsa2048',
          state: 'Active',
          since: time,
          seenSince: time,
          record: 'p1r._domainkey.example.org.',
        },
      ],
      dnsRecords: [
        {
          name: 'example.org.',
          type: 'MX',
          ttl: 3600,
          values: ['10 mail.example.org.'],
          zoneLines: ['example.org. 3600 IN MX 10 mail.example.org.'],
          found: ['10 other.example.'],
          purpose: 'inbound',
          required: true,
          state: 'Mismatch',
        },
      ],
      dnsCheck: { lastTime: time, nextTime: time, servers: ['ns1.example.org'] },
      tls,
    },
    columns: {
      Domain: 'example.org',
      Ready: 'True',
      Reason: 'Ready',
      DNS: 'False',
      DKIM: 'True',
      TLS: 'True',
      Mailboxes: 40,
    },
  },
  Mailbox: {
    spec: { address: 'alice@example.org', quota: '10Gi' },
    status: {
      observedGeneration: 1,
      conditions: [condition('Ready', 'False', 'DomainNotFound', 'no MailDomain has the domain example.org')],
      address: 'alice@example.org',
      accountId: '12',
      domainRef: { namespace: 'default', name: 'example-org' },
      credentialsSecret: 'sample-mailbox',
      credentialsVersion: 'v1',
      quota: '10Gi',
      usage: { bytes: '1408Mi', messages: 812, observedAt: '2026-01-01T00:00:00Z' },
    },
    columns: {
      Address: 'alice@example.org',
      Ready: 'False',
      Reason: 'DomainNotFound',
      Quota: '10Gi',
      Used: '1408Mi',
      State: 'Active',
      Secret: 'sample-mailbox',
      Message: 'no MailDomain has the domain example.org',
    },
  },
  MailAlias: {
    spec: { address: 'team@example.org', members: ['alice@example.org'] },
    status: { observedGeneration: 1, conditions: ready, resolvedMembers: 1 },
    columns: { Address: 'team@example.org', Ready: 'True', Reason: 'Ready', Members: 1 },
  },
  MailCredential: {
    spec: { allowedSenders: ['orders@example.org'] },
    status: {
      observedGeneration: 1,
      conditions: ready,
      secretName: 'sample-smtp',
      username: 'sample.default',
      rotatedAt: time,
      expiresAt: time,
      previousValidUntil: time,
    },
    columns: { From: 'orders@example.org', Ready: 'True', Reason: 'Ready', Secret: 'sample-smtp', Expires: time },
  },
  MailRoute: {
    spec: { targets: [{ type: 'Smarthost', host: 'relay.example' }] },
    status: {
      observedGeneration: 1,
      conditions: [...ready, condition('Reachable', 'Unknown', 'NotProbed')],
      targets: [
        {
          target: 'Smarthost relay.example:587',
          state: 'Unreachable',
          message: 'refused',
          latencyMs: 3,
          probedAt: time,
        },
      ],
    },
    columns: {
      Type: 'Smarthost',
      Host: 'relay.example',
      Priority: 100,
      Ready: 'True',
      Reason: 'Ready',
      Reachable: 'Unknown',
    },
  },
  MailPolicy: {
    spec: { maxMessageSize: '25Mi' },
    status: { observedGeneration: 1, conditions: ready, attachedDomains: 2 },
    columns: { Size: '25Mi', TLS: false, Ready: 'True', Reason: 'Ready', Domains: 2 },
  },
};
