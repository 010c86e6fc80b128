import path from 'node:path';
import { createTransport } from 'nodemailer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { transact } from '#shared/db/tx.ts';
import { deriveVerifiers } from '#shared/directory/credentials.ts';
import { openKeyring } from '#shared/directory/keyring.ts';
import { readMailCredentialSalts, setMailCredentialPassword } from '#shared/directory/mail-credentials.ts';
import { resourceUid } from '#shared/provisioning/identity.ts';
import { startEmptyDns, type EmptyDns } from '../harness/empty-dns.ts';
import { LineClient } from '../harness/line-client.ts';
import { startMailSink, type MailSink } from '../harness/mail-sink.ts';
import { ScramClient } from '../harness/scram-client.ts';
import { startService, users, type Service } from '../harness/service.ts';

const shop = { user: 'shop.default', pass: 'the first of the shop' };
const next = 'the second of the shop';

let sink: MailSink;
let dns: EmptyDns;
let service: Service;
let database: PostgresDatabase;
beforeAll(async () => {
  sink = await startMailSink();
  dns = await startEmptyDns();
  service = await startService({ manifests: manifests(sink.port), env: { DNS_SERVERS: dns.server } });
  database = createDatabase({ url: service.databaseUrl });
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
  await sink[Symbol.asyncDispose]();
  await dns[Symbol.asyncDispose]();
});

function manifests(port: number): string {
  return `
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: out}
spec: {targets: [{type: Smarthost, host: 127.0.0.1, port: ${port}, tls: {mode: Disabled}}]}
---
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: news}
spec: {domain: news.test}
---
apiVersion: postrider.dev/v1alpha1
kind: MailCredential
metadata: {name: shop}
spec:
  allowedSenders: [orders@example.test, "*@news.test"]
  limits: {messagesPerHour: 3}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-smtp}
stringData: {password: ${shop.pass}}
---
apiVersion: postrider.dev/v1alpha1
kind: MailCredential
metadata: {name: made}
spec: {allowedSenders: [orders@example.test]}
`;
}

type Letter = { readonly from: string; readonly to?: string; readonly header?: string; readonly pass?: string };

/** The reply to the message. */
async function send({ from, to = users.alice.address, header = from, pass = shop.pass }: Letter): Promise<string> {
  const transport = createTransport({
    host: '127.0.0.1',
    port: service.ports.submissionTls,
    secure: true,
    tls: { rejectUnauthorized: false },
    auth: { user: shop.user, pass },
  });
  try {
    const raw = `From: <${header}>\r\nTo: <${to}>\r\nSubject: An order\r\n\r\nHello\r\n`;
    return (await transport.sendMail({ envelope: { from, to }, raw })).response ?? '';
  } catch (error) {
    return (error as { response?: string }).response ?? String(error);
  } finally {
    transport.close();
  }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

async function scram(password: string): Promise<string> {
  await using client = await LineClient.connect(service.ports.submissionTls, true);
  await client.ask('EHLO client.test', /^250 /);
  const { user: login } = shop;
  const exchange = new ScramClient({ hash: 'sha256', login, password, header: 'n,,', binding: Buffer.alloc(0) });
  const challenge = await client.ask(`AUTH SCRAM-SHA-256 ${exchange.first()}`, /^334 /);
  const verifier = await client.ask(exchange.final(challenge.slice(4)), /^\d{3}/);
  if (!verifier.startsWith('334 ')) return verifier;
  expect(exchange.accepts(verifier.slice(4))).toBe(true);
  return await client.ask('', /^\d{3}/);
}

describe('the login of a MailCredential', () => {
  test.each([
    ['its address', { from: 'orders@example.test' }, /^250 /],
    ['any address of a domain that is its own', { from: 'whoever@news.test' }, /^250 /],
    ['another address', { from: 'ceo@example.test' }, /^553 5\.7\.1/],
    ['another in the header', { from: 'orders@example.test', header: 'ceo@example.test' }, /^550 5\.7\.1/],
    ['a wrong password', { from: 'orders@example.test', pass: 'wrong' }, /^535 5\.7\.8/],
  ] as const)('sends with %s', async (_, letter, reply) => {
    expect(await send(letter)).toMatch(reply);
  });

  test('has its own limits on mail to other systems', async () => {
    const letter = { from: 'orders@example.test', to: 'far@elsewhere.test' };
    const replies: string[] = [];
    for (let n = 0; n < 4; n++) replies.push(await send(letter));
    expect(replies.slice(0, 3).every((reply) => reply.startsWith('250'))).toBe(true);
    expect(replies[3]).toMatch(/^451 4\.7\.1 .* of this login/);
  });

  test('opens nothing over IMAP, with the right password either', async () => {
    await using imap = await LineClient.connect(service.ports.imapTls, true);
    const response = base64(`\0${shop.user}\0${shop.pass}`);
    expect(await imap.ask(`a AUTHENTICATE PLAIN ${response}`, /^a /)).toMatch(/^a NO \[AUTHENTICATIONFAILED\]/);
  });

  test('knows SCRAM too', async () => {
    expect(await scram(shop.pass)).toMatch(/^235/);
    expect(await scram('wrong')).toMatch(/^535/);
  });

  test('two passwords work while one takes over from the other, and then one', async () => {
    const keyring = await openKeyring(path.join(service.dataDirectory, 'keyring'), 'refuse');
    const uid = resourceUid('MailCredential', 'default', 'shop');
    const salts = (await readMailCredentialSalts(database.db, keyring, [uid])).get(uid);
    const verifiers = await deriveVerifiers(next, 'chosen', salts);
    await transact(database.db, (tx) => setMailCredentialPassword(tx, keyring, uid, { verifiers, secret: next }));
    for (const pass of [shop.pass, next]) {
      expect(await send({ from: 'orders@example.test', pass })).toMatch(/^250 /);
      expect(await scram(pass)).toMatch(/^235/);
    }
    await database.db
      .updateTable('mail_credential_password')
      .set({ expires_at: new Date(Date.now() - 1000) })
      .where('expires_at', 'is not', null)
      .execute();
    expect(await send({ from: 'orders@example.test' })).toMatch(/^535/);
    expect(await scram(shop.pass)).toMatch(/^535/);
    expect(await send({ from: 'orders@example.test', pass: next })).toMatch(/^250 /);
    expect(await scram(next)).toMatch(/^235/);
  });

  test('loses what its domain loses', async () => {
    const pass = next;
    await database.db.updateTable('domain').set({ suspended: true }).where('name', '=', 'news.test').execute();
    expect(await send({ from: 'whoever@news.test', pass })).toMatch(/^553 5\.7\.1/);
    await database.db.deleteFrom('mail_credential').where('username', '=', shop.user).execute();
    expect(await send({ from: 'orders@example.test', pass })).toMatch(/^535/);
  });
});

test('without a Secret a password is generated into the folder of secrets, with a cheap hash', async () => {
  const made = await database.db
    .selectFrom('mail_credential_password as password')
    .innerJoin('mail_credential as credential', 'credential.id', 'password.credential_id')
    .select('password.password_hash')
    .where('credential.username', '=', 'made.default')
    .executeTakeFirstOrThrow();
  expect(made.password_hash).toMatch(/^\$argon2id\$v=19\$m=8,t=1,p=1\$/);
});
