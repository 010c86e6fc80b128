/** What an API server makes of crds/: that it takes them, what it lets nobody change, and what people see. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { startKubeApiserver } from '../harness/kube-apiserver.ts';
import type { KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { crdFolder } from '../../tools/crds.ts';
import type { Schema } from '../../tools/crds.ts';
import { ApiRequests } from './api-request.ts';
import { collectionOf, crdOf, crds, manifestOf } from './kinds.ts';
import { samples } from './status-samples.ts';

const run = promisify(execFile);
const kinds = crds.map(({ kind }) => kind);

test.each(crds)('$kind: every field has a description', ({ schema }) => {
  expect(withoutDescription(schema, '')).toEqual([]);
});

function withoutDescription(schema: Schema, at: string): readonly string[] {
  const { description = '', properties = {}, items, additionalProperties } = schema;
  const own = description.length < 5 ? [at] : [];
  const inner = Object.entries({
    ...properties,
    ...(items && { '[]': items }),
    ...(additionalProperties && { '*': additionalProperties }),
  });
  return [...own, ...inner.flatMap(([name, each]) => withoutDescription(each, `${at}.${name}`))];
}

describe.skipIf(lacksKube())('on an API server', () => {
  let server: KubeApiserver;
  let api: ApiRequests;
  beforeAll(async () => {
    server = await startKubeApiserver({ crds: [crdFolder] });
    api = new ApiRequests(server);
  });
  afterAll(async () => {
    api?.[Symbol.dispose]();
    await server?.[Symbol.asyncDispose]();
  });

  async function kubectl(...words: readonly string[]): Promise<string> {
    const { stdout } = await run(path.join(server.assets, 'kubectl'), ['--kubeconfig', server.kubeconfig, ...words]);
    return stdout;
  }

  async function create(kind: string, spec: unknown, name: string): Promise<void> {
    const { status, body } = await api.send('POST', collectionOf(kind), manifestOf(kind, spec, name));
    if (status !== 201) throw new Error(`${kind} ${name} was not made: ${JSON.stringify(body)}`);
  }

  test.each(crds)('$kind is accepted without a warning, and established', async ({ file, plural, group }) => {
    const crd: unknown = parse(await readFile(path.join(crdFolder, file), 'utf8'));
    const at = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.${group}`;
    const sent = await api.send('PATCH', `${at}?fieldManager=test&force=true&fieldValidation=Strict`, crd, {
      'content-type': 'application/apply-patch+yaml',
    });
    expect(sent).toMatchObject({ status: 200, warnings: [] });
    const { body } = await api.send('GET', at);
    expect(body['status']).toMatchObject({
      conditions: expect.arrayContaining([
        expect.objectContaining({ type: 'Established', status: 'True' }),
        expect.objectContaining({ type: 'NamesAccepted', status: 'True' }),
      ]) as unknown,
    });
    // What is wrong with a schema is told by a condition.
    expect(JSON.stringify(body['status'])).not.toContain('NonStructuralSchema');
  });

  test.each(kinds)('%s: a status is taken whole, and told in columns', async (kind) => {
    const { spec, status, columns } = samples[kind] ?? { spec: {}, status: {}, columns: {} };
    const name = 'columns';
    await create(kind, spec, name);
    const manifest = { ...manifestOf(kind, spec, name), status };
    const written = await api.send('PATCH', `${collectionOf(kind)}/${name}/status?fieldValidation=Strict`, manifest, {
      'content-type': 'application/merge-patch+json',
    });
    expect(written.status, JSON.stringify(written.body)).toBe(200);
    expect(written.body['status']).toEqual(status);

    const table = await api.send('GET', `${collectionOf(kind)}/${name}`, undefined, {
      accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
    });
    const headings = (table.body['columnDefinitions'] as { name: string; priority: number }[]).map(({ name }) => name);
    const [row] = table.body['rows'] as { cells: unknown[] }[];
    const cells = Object.fromEntries(headings.map((heading, i) => [heading, row?.cells[i]]));
    expect(cells).toMatchObject({ Name: name, ...columns });
    expect(headings.at(-1)).toBe('Age');
    expect(headings).toEqual(expect.arrayContaining(['Ready', 'Reason', 'Message']));
  });

  test.each(kinds)('%s: the sample fills every field of the status', (kind) => {
    const schema = crdOf(kind).schema.properties?.['status'];
    const missing: string[] = [];
    const look = (each: Schema, value: unknown, at: string): void => {
      if (value === undefined) missing.push(at);
      else if (each.items) look(each.items, (value as readonly unknown[])[0], `${at}[0]`);
      else
        for (const [name, inner] of Object.entries(each.properties ?? {}))
          look(inner, (value as Record<string, unknown>)[name], `${at}.${name}`);
    };
    if (schema) look(schema, samples[kind]?.status, 'status');
    expect(missing).toEqual([]);
  });

  test.each([
    ['MailDomain', { domain: 'a.example' }, { domain: 'b.example' }, 'domain can'],
    ['MailDomain', { domain: 'a.example' }, { serverRef: { name: 'other' } }, 'serverRef can'],
    ['MailDomain', { domain: 'a.example' }, { serverRef: { name: 'default', namespace: 'other' } }, 'serverRef can'],
    [
      'MailDomain',
      { domain: 'a.example', serverRef: { name: 'default', namespace: 'other' } },
      { serverRef: { namespace: null } },
      'serverRef can',
    ],
    ['Mailbox', { address: 'a@a.example' }, { address: 'b@a.example' }, 'address can'],
    ['MailAlias', { address: 'a@a.example', members: ['b@a.example'] }, { address: 'c@a.example' }, 'address can'],
    ['MailCredential', { allowedSenders: ['a@a.example'] }, { secretName: 'x' }, 'secretName can'],
    ['MailCredential', { allowedSenders: ['a@a.example'], secretName: 'x' }, { secretName: 'y' }, 'secretName can'],
    ['MailCredential', { allowedSenders: ['a@a.example'], secretName: 'x' }, { secretName: null }, 'secretName can'],
  ])('%s %j does not become %j', async (kind, spec, patch, message) => {
    const name = `fixed-${crypto.randomUUID()}`;
    await create(kind, spec, name);
    const change = (more: object) =>
      api.send(
        'PATCH',
        `${collectionOf(kind)}/${name}`,
        { spec: more },
        { 'content-type': 'application/merge-patch+json' },
      );
    const refused = await change(patch);
    expect(refused.status).toBe(422);
    expect(String(refused.body['message'])).toContain(message);
    // Everything else may change.
    expect(await change(kind === 'MailCredential' ? { limits: {} } : { deletionPolicy: 'Orphan' })).toMatchObject({
      status: 200,
    });
  });

  test.each([
    ['MailDomain', { domain: 'select.example' }, 'spec.domain=select.example'],
    ['Mailbox', { address: 'select@a.example' }, 'spec.address=select@a.example'],
    ['MailAlias', { address: 'chosen@a.example', members: ['b@a.example'] }, 'spec.address=chosen@a.example'],
  ])('%s is found by its field', async (kind, spec, selector) => {
    await create(kind, spec, 'selected');
    await create(
      kind,
      { ...spec, ...(kind === 'MailDomain' ? { domain: 'x.example' } : { address: 'x@a.example' }) },
      'another',
    );
    const { body } = await api.send('GET', `${collectionOf(kind)}?fieldSelector=${encodeURIComponent(selector)}`);
    expect((body['items'] as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name)).toEqual([
      'selected',
    ]);
  });

  test('kubectl explains fields', async () => {
    const text = (await kubectl('explain', 'mailbox.spec.password')).replaceAll(/\s+/g, ' ');
    expect(text).toContain("Where the account's password comes from.");
    expect(text).toContain('mode <string>');
    expect(text).toContain('enum: Generated, SecretRef, Initial');
    expect(await kubectl('explain', 'mailroutes.spec.targets.tls')).toContain('caSecretRef');
  });

  test('kubectl lists all of them as mail, and knows short names', async () => {
    const { stdout } = {
      stdout: await kubectl('api-resources', '--api-group=postrider.dev', '--categories=mail', '-o', 'name'),
    };
    expect(stdout.trim().split('\n').toSorted()).toEqual(
      crds.map(({ plural, group }) => `${plural}.${group}`).toSorted(),
    );
    for (const { shortNames } of crds) for (const name of shortNames) await kubectl('get', name);
  });

  test('the examples apply', async () => {
    await kubectl('create', 'namespace', 'examples');
    const said = await kubectl('apply', '-n', 'examples', '-f', 'examples/');
    expect(said).toContain('maildomain.postrider.dev/example-test created');
    expect(said.split('\n').filter((line) => line && !line.endsWith(' created'))).toEqual([]);
  });
});
