/** docs/conditions.md says what to do about every reason that the operator can give. */
import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const page = readFileSync('docs/conditions.md', 'utf8');
const folders = ['directory', 'domain', 'foundation', 'routes', 'server', 'status', 'usage'].map(
  (name) => `operator/${name}`,
);
const files = [...folders, 'shared/provisioning', 'shared/reconcile']
  .flatMap((folder) => globSync(`${folder}/**/*.ts`))
  .concat(globSync('operator/*.ts'))
  .filter((file) => !file.endsWith('.test.ts'));
const literals = new Set(
  files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/'([A-Z][A-Za-z0-9]+)'/g)].map(([, word = '']) => word),
  ),
);

/** Words in quotes that are no reasons: kinds, fields' values, states, names of records and errors. */
const others = new Set(
  `MailAlias MailCredential MailDomain MailPolicy MailRoute MailServer Mailbox Certificate ClusterIssuer DNSEndpoint Issuer Secret
  ACME Capture CertManager DANE Delete Direct Disabled Generated HTTP Implicit Initial LMTP None Opaque Opportunistic Orphan
  Required Retain Same SameName SecretRef Selector Server Smarthost StatusOnly All Always
  AAAA CNAME DKIM DMARC MTASTS MX PTR SPF SRV TLSRPT TXT Challenge ClientHost ECDSA
  DoesNotExist Exists In NotIn Gi Ki Mi Pi Ti False True Unknown Normal Warning
  Invalid Listed Mismatch Missing Open Postrider Proved Published Retiring RowsChanged StaleEpoch Suspended`.split(
    /\s+/,
  ),
);
/** Types of conditions. */
const types = new Set(
  `Accepted Synced CredentialsReady Resolved DKIMReady CertificateReady DNSReady Reachable Available SchemaCurrent Deleting
  DatabaseDurable ConnectionBudget DNSSECValidating ClientIPPreserved OutboundPort25`.split(/\s+/),
);

test('every reason in the code is on the page', () => {
  const reasons = [...literals].filter((word) => !others.has(word));
  expect(reasons.length).toBeGreaterThan(70);
  expect(reasons.filter((reason) => !page.includes(reason))).toEqual([]);
});

test('so are those that are put together of a record and what is wrong with it', () => {
  const words =
    /const reasonWords[^=]*= \{([\s\S]*?)\};/.exec(readFileSync('operator/domain/dns-condition.ts', 'utf8'))?.[1] ?? '';
  const records = [...words.matchAll(/: '(\w+)'/g)].map(([, word]) => word);
  expect(records.length).toBeGreaterThan(5);
  const reasons = records.flatMap((record) => [`${record}Missing`, `${record}Mismatch`]);
  expect(reasons.filter((reason) => !page.includes(`\`${reason}\``))).toEqual([]);
});

test('every reason on the page is in the code', () => {
  const told = [...page.matchAll(/`([A-Z][A-Za-z0-9]+)`/g)].map(([, word = '']) => word);
  const isKnown = (word: string): boolean =>
    literals.has(word) || types.has(word) || /^[A-Za-z]+(?:Missing|Mismatch)$/.test(word);
  expect([...new Set(told)].filter((word) => !isKnown(word))).toEqual([]);
});

test('every type of condition that counts for Ready is on the page', () => {
  const counting = [...readFileSync('operator/status/readiness.ts', 'utf8').matchAll(/^ {2}(Mail\w+): \[(.*)\],$/gm)];
  expect(counting.length).toBe(7);
  for (const [, kind = '', list = ''] of counting) {
    const told = new RegExp(String.raw`^\| ${kind} +\| ([\w, ]+?) +\|`, 'm').exec(page)?.[1];
    expect(told, kind).toBe(list.replaceAll("'", ''));
  }
});
