/**
 * Certificates by ACME as in a cluster: the operator on a real API server, a real authority (pebble), which asks a real
 * server process for the challenges, and that process shows what was signed.
 */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningOperator } from '#operator/compose.ts';
import { secrets, type Secret } from '#operator/kube/core-resources.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { putCertificate } from '#shared/directory/certificates.ts';
import { parseKeyring } from '#shared/directory/keyring.ts';
import { makeAuthority } from '../harness/certificates.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { lacksPebble, startPebble, type Pebble } from '../harness/pebble.ts';
import { freePorts } from '../harness/ports.ts';
import { startMailServer, type MailServerProcess } from './mail-server.ts';
import { Cluster, startTestOperator } from './operator-under-test.ts';
import { until } from './until.ts';

/** Port 80 of every name: leads to the server, unless it holds what comes, or leads nowhere. */
class Gate implements AsyncDisposable {
  mode: 'open' | 'hold' | 'closed' = 'open';
  #server: Server | null = null;
  readonly #held: Socket[] = [];
  readonly #target: number;

  constructor(target: number) {
    this.#target = target;
  }

  async open(): Promise<number> {
    this.#server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      if (this.mode === 'open') this.#join(socket);
      else if (this.mode === 'hold') this.#held.push(socket);
      else socket.destroy();
    });
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  get held(): number {
    return this.#held.length;
  }

  release(): void {
    this.mode = 'open';
    for (const socket of this.#held.splice(0)) this.#join(socket);
  }

  #join(socket: Socket): void {
    const other = connect(this.#target, '127.0.0.1');
    other.on('error', () => socket.destroy());
    socket.on('close', () => other.destroy());
    socket.pipe(other).pipe(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#held) socket.destroy();
    this.#server?.close();
  }
}

const hmacKey = Buffer.from('the key of the authority’s customer').toString('base64url');

describe.skipIf(lacksKube() || lacksPebble())('certificates by ACME', () => {
  const stack = new AsyncDisposableStack();
  let kube: KubeApiserver;
  let cluster: Cluster;
  let operator: RunningOperator;
  let server: MailServerProcess;
  let pebble: Pebble;
  let gate: Gate;
  let testDatabase: TestDatabase;
  let database: PostgresDatabase;
  const soon = { timeout: 30_000, interval: 100 };

  const startOperatorAgain = async (): Promise<void> => {
    operator = await startTestOperator({ access: kube.access, databaseUrl: testDatabase.url });
  };
  beforeAll(async () => {
    const [acmePort = 0] = await freePorts(1);
    gate = stack.use(new Gate(acmePort));
    const httpPort = await gate.open();
    pebble = stack.use(
      await startPebble({ httpPort, badNonces: 20, bindings: { customer: hmacKey }, blocked: ['mail.blocked.test'] }),
    );
    testDatabase = stack.use(await createTestDatabase());
    database = stack.use(createDatabase({ url: testDatabase.url, maxConnections: 2 }));
    kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    cluster = new Cluster(kube.client());
    await startOperatorAgain();
    stack.defer(() => operator.stop());
    await cluster.apply(serverWith({ acme: acmeOf('customer') }));
    const keyring = await cluster.keyring();
    server = stack.use(
      await startMailServer({
        databaseUrl: testDatabase.url,
        keyring,
        env: { ACME_HTTP_PORT: String(acmePort), IMAP_HOST: '127.0.0.1' },
      }),
    );
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  const acmeOf = (keyId: string) => ({
    directoryUrl: pebble.directoryUrl,
    caBundle: pebble.caBundle,
    contacts: ['ops@example.test'],
    termsOfServiceAgreed: true,
    externalAccountBinding: { keyId, secretRef: { name: 'binding' } },
  });
  const serverWith = (more: object): string =>
    JSON.stringify({
      apiVersion: 'postrider.dev/v1alpha1',
      kind: 'MailServer',
      metadata: { name: 'default' },
      spec: { hostname: 'mx.server.test', domains: ['*.test'], tls: { mode: 'ACME' }, ...more },
    });
  const domainWith = (name: string): string =>
    JSON.stringify({
      apiVersion: 'postrider.dev/v1alpha1',
      kind: 'MailDomain',
      metadata: { name },
      spec: { domain: name, tls: { mode: 'ACME' } },
    });
  const says = (kind: string, name: string) => () => cluster.says(kind, name, 'CertificateReady');
  const message = async (kind: string, name: string): Promise<string> =>
    (await cluster.condition(kind, name, 'CertificateReady'))?.message ?? '';
  const secretAt = (name: string): Promise<Secret> => kube.client().get(secrets, { namespace: 'default', name });
  const orders = (): number => pebble.log().match(/Added order/g)?.length ?? 0;
  const orderRow = async (name: string) => {
    const { metadata } = await cluster.get('MailDomain', name);
    return database.db
      .selectFrom('acme_order')
      .selectAll()
      .where('owner', '=', `MailDomain/${metadata.uid}`)
      .executeTakeFirst();
  };
  const tlsStatus = async (name: string) =>
    ((await cluster.get('MailDomain', name)).status as { readonly tls?: Readonly<Record<string, unknown>> } | undefined)
      ?.tls;

  /** What a client sees over IMAP with TLS. */
  async function seen(servername: string): Promise<{ readonly serial: string; readonly issuer: string }> {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: server.ports.imapTls,
      servername,
      rejectUnauthorized: false,
    });
    await once(socket, 'secureConnect');
    const { serialNumber, issuer } = socket.getPeerCertificate();
    socket.destroy();
    return { serial: serialNumber, issuer: String(issuer.CN) };
  }
  const serialIn = async (name: string): Promise<string> =>
    new X509Certificate((await cluster.secret(name))?.['tls.crt'] ?? '').serialNumber;

  test('nothing is asked before the key of the external binding is there; then clients see the certificate', async () => {
    await expect.poll(says('MailServer', 'default'), soon).toBe('False ACMEBindingInvalid');
    expect(orders()).toBe(0);
    const bindWith = (key: string) =>
      cluster.apply(
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: 'binding' },
          stringData: { hmacKey: key },
        }),
      );
    await bindWith(Buffer.from('somebody else’s').toString('base64url'));
    await expect.poll(says('MailServer', 'default'), soon).toBe('False ACMEAccountRefused');
    expect(orders()).toBe(0);
    // What is corrected is tried at once, though the next attempt was minutes away.
    await bindWith(hmacKey);
    await expect.poll(says('MailServer', 'default'), soon).toBe('True Issued');
    await expect.poll(async () => (await seen('mx.server.test')).issuer, soon).toMatch(/Pebble/);
    expect((await seen('')).serial).toBe(await serialIn('default-server-acme'));
    const shown = await secretAt('default-server-acme');
    expect(shown.type).toBe('kubernetes.io/tls');
    expect(shown.metadata.ownerReferences).toMatchObject([{ kind: 'MailServer', name: 'default', controller: true }]);
    expect(await database.db.selectFrom('acme_challenge').selectAll().execute()).toEqual([]);
    expect(await database.db.selectFrom('certificate').select('source').execute()).toEqual([{ source: 'acme' }]);
  });

  test('the account’s key is made once, in a Secret that is the MailServer’s', async () => {
    const { items } = await kube.client().list(secrets, { namespace: 'default' });
    const accounts = items.filter(({ metadata }) => /^default-acme-[0-9a-f]{8}$/.test(metadata.name));
    expect(accounts).toHaveLength(1);
    expect(accounts[0]?.metadata.labels).toMatchObject({ 'postrider.dev/managed': 'true' });
    expect(accounts[0]?.metadata.ownerReferences).toMatchObject([{ kind: 'MailServer', name: 'default' }]);
  });

  test('a MailDomain has one of its own from the MailServer’s authority, and is renewed when that would like it', async () => {
    await cluster.apply(domainWith('own.test'));
    await expect.poll(says('MailDomain', 'own.test'), soon).toBe('True Issued');
    const before = await serialIn('own.test-mail-acme');
    await expect.poll(async () => (await seen('mail.own.test')).serial, soon).toBe(before);
    expect((await seen('mx.server.test')).serial).not.toBe(before);

    // A Secret that went is written again from the database, and the authority is asked anew when it would like a renewal.
    const wanted = new Date(Date.now() + 20 * 24 * 3600_000);
    const window = { suggestedWindow: { start: wanted, end: new Date(wanted.getTime() + 1_000) } };
    const Certificate = (await cluster.secret('own.test-mail-acme'))?.['tls.crt'] ?? '';
    const told = JSON.stringify({ Certificate, ARIResponse: JSON.stringify(window) });
    expect(await pebble.manage('/set-renewal-info/', told)).toBe(200);
    await database.db.updateTable('acme_order').set({ renewal_look_at: null }).execute();
    const made = orders();
    await cluster.delete('Secret', 'own.test-mail-acme');
    const renewalTime = async (): Promise<number> => Date.parse(String((await tlsStatus('own.test'))?.['renewalTime']));
    await expect.poll(async () => Math.abs((await renewalTime()) - wanted.getTime()) < 5_000, soon).toBe(true);
    await expect.poll(() => cluster.exists('Secret', 'own.test-mail-acme'), soon).toBe(true);
    expect(await serialIn('own.test-mail-acme')).toBe(before);
    expect(orders()).toBe(made);

    // One whose last third has begun is replaced; until then it is shown.
    const { metadata } = await cluster.get('MailDomain', 'own.test');
    const old = await (await makeAuthority('Somebody')).issue(['mail.own.test'], 10, -80);
    await putCertificate(database.db, parseKeyring(await cluster.keyring(), 'test'), {
      owner: `MailDomain/${metadata.uid}`,
      resourceName: 'default/own.test',
      source: 'acme',
      names: ['mail.own.test'],
      isDefault: false,
      notAfter: new X509Certificate(old.cert).validToDate,
      material: { certificate: old.cert, privateKey: old.key },
    });
    await database.db.updateTable('acme_order').set({ renewal_at: null }).execute();
    const oldSerial = new X509Certificate(old.cert).serialNumber;
    await expect.poll(async () => (await seen('mail.own.test')).serial, soon).toBe(oldSerial);
    await cluster.delete('Secret', 'own.test-mail-acme');
    await expect.poll(() => cluster.exists('Secret', 'own.test-mail-acme'), soon).toBe(true);
    await expect.poll(() => serialIn('own.test-mail-acme'), soon).not.toBe(oldSerial);
    const after = await serialIn('own.test-mail-acme');
    expect(after).not.toBe(before);
    await expect.poll(async () => (await seen('mail.own.test')).serial, soon).toBe(after);
    expect(orders()).toBe(made + 1);
  });

  test('nothing is ordered for a domain that is not accepted', async () => {
    const made = orders();
    await cluster.apply(domainWith('somebody.example'));
    await expect.poll(says('MailDomain', 'somebody.example'), soon).toBe('Unknown DomainNotAccepted');
    expect(orders()).toBe(made);
  });

  test('a name that the authority refuses: its words are told, and it is not asked again at once', async () => {
    const made = orders();
    await cluster.apply(domainWith('blocked.test'));
    await expect.poll(says('MailDomain', 'blocked.test'), soon).toBe('False ACMEOrderRefused');
    expect(await message('MailDomain', 'blocked.test')).toMatch(/rejectedIdentifier: .*; tried again at 20/);
    const first = await tlsStatus('blocked.test');
    expect(first).toMatchObject({ failedAttempts: 1 });
    expect(Date.parse(String(first?.['nextAttemptTime'])) - Date.now()).toBeGreaterThan(4 * 60_000);
    // Neither another look nor another leader asks sooner.
    await operator.stop();
    await startOperatorAgain();
    await cluster.apply(domainWith('later.test'));
    await expect.poll(says('MailDomain', 'later.test'), soon).toBe('True Issued');
    expect(await tlsStatus('blocked.test')).toEqual(first);
    expect(orders()).toBe(made + 1);
  });

  test('a challenge that fails is told with what to do; when its time has come another order goes through', async () => {
    gate.mode = 'closed';
    await cluster.apply(domainWith('unreached.test'));
    await expect.poll(says('MailDomain', 'unreached.test'), soon).toBe('False ACMEChallengeFailed');
    expect(await message('MailDomain', 'unreached.test')).toMatch(/mail\.unreached\.test.*port 80.*tried again at/);
    expect(await orderRow('unreached.test')).toMatchObject({ failed_attempts: 1, order_url: null });
    const made = orders();
    gate.mode = 'open';
    await operator.stop();
    await database.db
      .updateTable('acme_order')
      .set({ next_attempt_at: new Date(0) })
      .execute();
    await startOperatorAgain();
    await expect.poll(says('MailDomain', 'unreached.test'), soon).toBe('True Issued');
    expect(await tlsStatus('unreached.test')).not.toHaveProperty('failedAttempts');
    // That and the one for the name that is refused, which is no order.
    expect(orders()).toBe(made + 1);
  });

  test('a restart in the midst of an order goes on with it', async () => {
    gate.mode = 'hold';
    const made = orders();
    await cluster.apply(domainWith('restart.test'));
    await until(() => gate.held > 0, 30_000);
    const before = await orderRow('restart.test');
    expect(before?.order_url).toMatch(/^https:/);
    await operator.stop();
    gate.release();
    await startOperatorAgain();
    await expect.poll(says('MailDomain', 'restart.test'), soon).toBe('True Issued');
    expect(orders()).toBe(made + 1);
    expect(await orderRow('restart.test')).toMatchObject({ order_url: null, failed_attempts: 0 });
  });

  test('a Secret of somebody else that has the certificate’s name is left as it is', async () => {
    await cluster.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'theirs.test-mail-acme' },
        stringData: { note: 'theirs' },
      }),
    );
    await cluster.apply(domainWith('theirs.test'));
    await expect.poll(says('MailDomain', 'theirs.test'), soon).toBe('False SecretNotOwned');
    expect(await cluster.secret('theirs.test-mail-acme')).toEqual({ note: 'theirs' });
    await expect.poll(async () => (await seen('mail.theirs.test')).issuer, soon).toMatch(/Pebble/);
  });

  test('an authority that is away is told of; what is in use stays', async () => {
    const before = (await seen('mail.own.test')).serial;
    const [nowhere = 0] = await freePorts(1);
    const directoryUrl = `https://localhost:${nowhere}/dir`;
    await cluster.apply(serverWith({ acme: { directoryUrl, termsOfServiceAgreed: true } }));
    await expect.poll(says('MailDomain', 'own.test'), soon).toBe('True ACMEUnreachable');
    expect(await message('MailDomain', 'own.test')).toMatch(/^the one in use ends at .*no answer: localhost:/);
    expect((await seen('mail.own.test')).serial).toBe(before);
    await cluster.apply(serverWith({ acme: undefined, tls: { mode: 'SelfSigned' } }));
    await expect.poll(says('MailDomain', 'own.test'), soon).toBe('True ACMENotConfigured');
    expect((await seen('mail.own.test')).serial).toBe(before);
  });
});
