import { describe, expect, test } from 'vitest';
import { planRoutes, routeColumns } from './mail-route-plan.ts';
import type { ObservedRoute } from './mail-route-plan.ts';
import { formatFault } from './fault.ts';
import { parseManifests } from './manifest.ts';
import { wantedDirectory } from './build-wanted.ts';

function read(spec: string, secrets = '') {
  const head = 'apiVersion: postrider.dev/v1alpha1\nkind: MailRoute\nmetadata: {name: r}\nspec:';
  const { resources, faults } = parseManifests([{ name: 'f.yaml', text: `${head} ${spec}\n${secrets}` }]);
  const { wanted, faults: more } = wantedDirectory(resources, { kind: 'folder', isComplete: faults.length === 0 });
  return { routes: wanted.routes, faults: [...faults, ...more].map(formatFault) };
}

const relaySecret =
  '---\napiVersion: v1\nkind: Secret\nmetadata: {name: relay}\nstringData: {username: u, password: p}\n';

describe('a MailRoute', () => {
  test('without a word about it, TLS with a verified certificate, port 587, ten connections', () => {
    const { routes, faults } = read('{targets: [{type: Smarthost, host: smtp.relay.example}]}');
    expect(faults).toEqual([]);
    expect(routes).toMatchObject([
      {
        resourceName: 'default/r',
        priority: 100,
        senderDomains: [],
        spec: {
          targets: [{ type: 'Smarthost', port: 587, tls: { mode: 'Required' }, weight: 1, priority: 0 }],
          maxConnections: 10,
          messagesPerMinute: null,
        },
      },
    ]);
  });

  test('secrets come from Secrets of its namespace, and are no part of what is stored open', () => {
    const spec = '{targets: [{type: Smarthost, host: smtp.relay.example, authSecretRef: {name: relay}}]}';
    const { routes, faults } = read(spec, relaySecret);
    expect(faults).toEqual([]);
    expect(JSON.parse(routes[0]?.secrets ?? '')).toMatchObject([{ username: 'u', password: 'p', ca: null }]);
    expect(JSON.stringify(routes[0]?.spec)).not.toContain('"p"');
  });

  test.each([
    ['{}', /spec\.targets is missing/],
    ['{targets: []}', /must name one target at least/],
    ['{targets: [{type: Pigeon}]}', /must have a type: Direct, Smarthost, LMTP, HTTP or Capture/],
    ['{targets: [{type: Smarthost}]}', /spec\.targets\[0\]\.host is missing/],
    ['{targets: [{type: Smarthost, host: "bad host"}]}', /must be a host name in lower case, or an IP address/],
    ['{targets: [{type: Smarthost, host: a.example, port: 0}]}', /port must be 1 at least/],
    [
      '{targets: [{type: Smarthost, host: a.example, tls: {mode: DANE}}]}',
      /must be Required, Implicit, Opportunistic or Disabled/,
    ],
    [
      '{targets: [{type: Smarthost, host: a.example, authSecretRef: {name: none}}]}',
      /there is no Secret default\/none/,
    ],
    ['{targets: [{type: Direct, allowedNetworks: [10.0.0.0/99]}]}', /must be a network such as 10\.0\.0\.0\/8/],
    ['{targets: [{type: Direct, sourceAddresses: [here]}]}', /must be an IP address/],
    ['{targets: [{type: HTTP, url: "ftp://a.example"}]}', /must be an http or https URL/],
    ['{targets: [{type: Capture}, {type: Direct}]}', /may not have Capture beside other targets/],
    ['{match: {senderDomains: ["*"]}, targets: [{type: Direct}]}', /"\*" is not a domain name/],
    ['{targets: [{type: Direct}], colour: red}', /spec\.colour is not a field of this kind/],
  ])('%s', (spec, fault) => {
    expect(read(spec).faults).toMatchObject([expect.stringMatching(fault)]);
  });

  test('domains, those below one, and those below a top-level domain', () => {
    const { routes, faults } = read(
      '{match: {recipientDomains: [a.example, "*.b.example", "*.invalid"]}, targets: [{type: Direct}]}',
    );
    expect(faults).toEqual([]);
    expect(routes[0]?.recipientDomains).toEqual(['a.example', '*.b.example', '*.invalid']);
  });

  test('a Secret without the keys that are needed', () => {
    const secret = '---\napiVersion: v1\nkind: Secret\nmetadata: {name: relay}\nstringData: {username: u}\n';
    const spec = '{targets: [{type: Smarthost, host: a.example, authSecretRef: {name: relay}}]}';
    expect(read(spec, secret).faults).toMatchObject([expect.stringMatching(/has no usable value in its key password/)]);
  });
});

describe('the plan', () => {
  const [route] = read('{targets: [{type: Direct}]}').routes;
  if (!route) throw new Error('no route');
  const { uid } = route;
  const none = new Set<string>();
  const row: ObservedRoute = {
    id: 7n,
    resourceUid: route.uid,
    resourceName: route.resourceName,
    columns: routeColumns(route.priority, route.senderDomains, route.recipientDomains, route.spec),
    specHash: route.specHash,
    secrets: 'same',
  };
  test('a new one is put, one that is as it should be is left, another spec or another secret is put again', () => {
    expect(planRoutes([route], [], none)).toEqual([{ do: 'put-route', id: null, uid, route }]);
    expect(planRoutes([route], [row], none)).toEqual([]);
    expect(planRoutes([route], [{ ...row, specHash: 'x' }], none)).toEqual([{ do: 'put-route', id: 7n, uid, route }]);
    expect(planRoutes([route], [{ ...row, secrets: 'other' }], none)).toEqual([
      { do: 'put-route', id: 7n, uid, route },
    ]);
  });
  test('one that somebody changed by hand is put again', () => {
    const changed = { ...row, columns: routeColumns(1, route.senderDomains, route.recipientDomains, route.spec) };
    expect(planRoutes([route], [changed], none)).toEqual([{ do: 'put-route', id: 7n, uid, route }]);
  });
  test('the order of keys makes no difference', () => {
    expect(routeColumns(1, [], ['a'], { b: 1, a: [{ d: 1, c: 2 }] })).toBe(
      routeColumns(1, [], ['a'], { a: [{ c: 2, d: 1 }], b: 1 }),
    );
  });
  test('one whose resource is gone is deleted', () => {
    expect(planRoutes([], [row], none)).toEqual([{ do: 'delete-route', id: 7n, uid, resourceName: 'default/r' }]);
  });
});
