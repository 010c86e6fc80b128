/** Every series of dashboards and alerts is one that a running system prints. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createTransport } from 'nodemailer';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { startEmptyDns } from '../harness/empty-dns.ts';
import { ImapLine } from '../harness/imap-line.ts';
import { LineClient } from '../harness/line-client.ts';
import { startMailSink } from '../harness/mail-sink.ts';
import { lacks } from '../harness/programs.ts';
import { startService, users, type Service } from '../harness/service.ts';
import { missingSeries, rowOf, serverRows } from './expect-series.ts';
import { expressions, groupingLabels, parseScrape, selectorsOf, targetLabels } from './series.ts';

const { alice, bob } = users;
/** Few, so that one more is turned away. */
const connectionsPerAddress = 3;
const all = expressions();

test.each(all)('$where asks for metrics and labels that there are', ({ expr }) => {
  const selectors = selectorsOf(expr);
  expect(selectors.length).toBeGreaterThan(0);
  const labels = new Set(selectors.flatMap(({ name }) => [...(rowOf(name)?.labels ?? []), 'le']));
  for (const { name, matchers } of selectors) {
    if (!/^(?:process|nodejs)_/.test(name)) expect(rowOf(name), name).toBeDefined();
    for (const { label } of matchers) expect(rowOf(name)?.labels ?? [], name).toContain(label);
  }
  for (const label of groupingLabels(expr)) expect(labels).toContain(label);
});

test.skipIf(lacks('promtool'))('promtool understands the expressions of the dashboards', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-dashboards-'));
  try {
    const rules = all.map(({ expr }, i) => ({ record: `expression:${i}`, expr }));
    const file = path.join(folder, 'dashboards.yaml');
    await writeFile(file, stringify({ groups: [{ name: 'dashboards', rules }] }));
    const { stdout } = await promisify(execFile)('promtool', ['check', 'rules', file]);
    expect(stdout).toContain(`SUCCESS: ${all.length} rules found`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('a server that mail goes through prints every series of servers', { timeout: 120_000 }, async () => {
  await using sink = await startMailSink();
  await using dns = await startEmptyDns();
  await using service = await startService({
    manifests: manifests(sink.port),
    env: { DNS_SERVERS: dns.server, MAX_CONNECTIONS_PER_ADDRESS: String(connectionsPerAddress) },
  });
  await receiveAndRefuse(service);
  await submit(service);
  await sink.message(({ to }) => to.includes('friend@elsewhere.test'));
  await read(service);
  // The queue is counted now and then.
  for (const deadline = performance.now() + 60_000; ; await sleep(200)) {
    const missing = missingSeries(all, serverRows, await scrape(service));
    if (missing.length === 0) break;
    if (performance.now() > deadline) expect(missing).toEqual([]);
  }
});

/** A relay for what goes out, a route that keeps mail, and a mailbox that nothing fits into. */
function manifests(port: number): string {
  return `
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: relay}
spec: {targets: [{type: Smarthost, host: 127.0.0.1, port: ${port}, tls: {mode: Disabled}}]}
---
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: away}
spec:
  priority: 1
  match: {recipientDomains: [away.test]}
  targets: [{type: Smarthost, host: 127.0.0.1, port: 1, tls: {mode: Disabled}}]
---
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: full}
spec: {address: full@example.test, quota: "1"}
`;
}

async function scrape(service: Service) {
  const response = await fetch(`http://127.0.0.1:${service.ports.http}/metrics`);
  return parseScrape(await response.text());
}

async function receiveAndRefuse(service: Service): Promise<void> {
  const message = 'From: <a@sender.test>\r\nSubject: one\r\n\r\none\r\n';
  await service.deliver([alice.address, bob.address], message);
  // One message goes beyond a quota, the next is not taken.
  await service.deliver('full@example.test', message);
  await using client = await LineClient.connect(service.ports.smtp);
  await client.line(/^220 /);
  await client.ask('EHLO sender.test', /^250 /);
  await client.ask('MAIL FROM:<a@sender.test>', /^250/);
  await client.ask('RCPT TO:<nobody@example.test>', /^5/);
  await client.ask('RCPT TO:<full@example.test>', /^452/);
  await client.ask('QUIT', /^221/);
}

async function submit(service: Service): Promise<void> {
  const transport = createTransport({
    host: '127.0.0.1',
    port: service.ports.submissionTls,
    secure: true,
    tls: { rejectUnauthorized: false },
    auth: { user: alice.address, pass: alice.password },
  });
  const raw = `From: <${alice.address}>\r\nTo: friend@elsewhere.test\r\nSubject: out\r\n\r\nout\r\n`;
  try {
    await transport.sendMail({ envelope: { from: alice.address, to: ['friend@elsewhere.test'] }, raw });
    await transport.sendMail({ envelope: { from: alice.address, to: ['friend@away.test'] }, raw });
  } finally {
    transport.close();
  }
}

async function read(service: Service): Promise<void> {
  {
    using client = await ImapLine.connectTls(service.ports.imapTls, service.certificateFile);
    expect(await client.command(`LOGIN "${alice.address}" "wrong"`)).toMatch(/ NO /);
  }
  {
    using client = await ImapLine.login(service, alice);
    await client.ok('SELECT INBOX');
    await client.ok('FETCH 1:* (FLAGS BODY.PEEK[])');
    await client.ok(String.raw`STORE 1 +FLAGS (\Seen)`);
    await client.append('INBOX', 'Subject: saved\r\n\r\nsaved\r\n');
  }
  await failHandshake(service.ports.imapTls);
  await using crowd = new AsyncDisposableStack();
  for (let i = 1; i <= connectionsPerAddress; i++) {
    await crowd.use(await LineClient.connect(service.ports.imap)).line(/^\* OK/);
  }
  await crowd.use(await LineClient.connect(service.ports.imap)).line(/^\* BYE/);
}

/** Speaks something else than TLS. */
async function failHandshake(port: number): Promise<void> {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.end('GET / HTTP/1.0\r\n\r\n');
  socket.resume();
  await once(socket, 'close');
}

test('labels that Prometheus puts on every series are on none of ours', () => {
  const rows = [...serverRows.values()];
  expect(rows.filter(({ labels }) => labels.some((label) => targetLabels.has(label)))).toEqual([]);
});
