import { afterAll, beforeAll, expect, test } from 'vitest';
import { LineClient } from '../harness/line-client.ts';
import { startService, users, type Service } from '../harness/service.ts';

const manifests = `
apiVersion: postrider.dev/v1alpha1
kind: MailPolicy
metadata: {name: strict}
spec: {maxMessageSize: 10k, requireInboundTLS: true}
---
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: strict}
spec: {domain: strict.test, policyRef: {name: strict}}
---
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: carol}
spec: {address: carol@strict.test, aliases: [post@strict.test]}
---
apiVersion: postrider.dev/v1alpha1
kind: MailServer
metadata: {name: default}
spec: {hostname: mail.strict.test}
`;

let service: Service;
beforeAll(async () => {
  service = await startService({ manifests });
});
afterAll(() => service[Symbol.asyncDispose]());

/** On port 25, as another server would. */
async function inbound(isSecure: boolean): Promise<LineClient> {
  const client = await LineClient.connect(service.ports.smtp, false);
  await client.ask('EHLO other.test', /^250 /);
  if (!isSecure) return client;
  await client.ask('STARTTLS', /^220/);
  await client.startTls();
  await client.ask('EHLO other.test', /^250 /);
  return client;
}

const reply = /^\d{3} /;

test('a domain that asks for TLS gets mail over TLS alone, others as before', async () => {
  await using plain = await inbound(false);
  expect(await plain.ask('MAIL FROM:<x@other.test>', reply)).toMatch(/^250/);
  for (const address of ['carol@strict.test', 'post@strict.test', 'carol+detail@strict.test']) {
    expect(await plain.ask(`RCPT TO:<${address}>`, reply)).toBe('530 5.7.0 Must issue a STARTTLS command first');
  }
  expect(await plain.ask(`RCPT TO:<${users.alice.address}>`, reply)).toMatch(/^250/);
  await using secure = await inbound(true);
  await secure.ask('MAIL FROM:<x@other.test>', reply);
  expect(await secure.ask('RCPT TO:<carol@strict.test>', reply)).toMatch(/^250/);
});

test('a size that is declared is refused for the recipients whose domain takes less', async () => {
  await using client = await inbound(true);
  await client.ask('MAIL FROM:<x@other.test> SIZE=20000', reply);
  expect(await client.ask('RCPT TO:<carol@strict.test>', reply)).toBe('552 5.3.4 Message is larger than 10000 bytes');
  expect(await client.ask(`RCPT TO:<${users.alice.address}>`, reply)).toMatch(/^250/);
});

test('one that turns out to be larger is refused at its end', async () => {
  await using client = await inbound(true);
  for (const [lines, expected] of [
    [10, /^250/],
    [300, /^552 5\.3\.4 Message is larger than 10000 bytes/],
  ] as const) {
    await client.ask('MAIL FROM:<x@other.test>', reply);
    await client.ask('RCPT TO:<carol@strict.test>', reply);
    await client.ask('DATA', /^354/);
    const body = `${'x'.repeat(70)}\r\n`.repeat(lines);
    expect(await client.ask(`Subject: size\r\n\r\n${body}.`, reply)).toMatch(expected);
  }
});

test('the kind MailServer is read, and it is said that it has no effect here', () => {
  expect(service.log()).toContain('MailServer default/default has no effect');
});
