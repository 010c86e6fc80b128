/** The operator's rights, right by right: whoever adds one sees it here. Servers have none. */
import { beforeAll, describe, expect, test } from 'vitest';
import { byKind, byName, lacksHelm, render, type Rendered } from './helm.ts';

type Rule = {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
};

/** `group/resource[name]: verbs`, a line for each resource. */
function rightsOf(role: Rendered): readonly string[] {
  return (role.rules as unknown as readonly Rule[])
    .flatMap(({ apiGroups, resources, verbs, resourceNames }) =>
      apiGroups.flatMap((group) =>
        resources.map(
          (resource) => `${group}/${resource}${resourceNames ? `[${resourceNames.join()}]` : ''}: ${verbs.join(' ')}`,
        ),
      ),
    )
    .sort();
}

const kinds = [
  'mailaliases',
  'mailboxes',
  'mailcredentials',
  'maildomains',
  'mailpolicies',
  'mailroutes',
  'mailservers',
];
const ofResources = kinds
  .flatMap((kind) => [
    `postrider.dev/${kind}/finalizers: update`,
    `postrider.dev/${kind}/status: get patch`,
    `postrider.dev/${kind}: get list watch patch`,
  ])
  .concat('/events: create patch', '/secrets: get list watch create patch delete');
const ofItself = [
  '/secrets: create',
  '/secrets[mail-postrider-keyring]: get',
  'coordination.k8s.io/leases[mail-postrider-operator]: get update patch',
  'postrider.dev/mailservers: create patch',
];
const ofCertManager = 'cert-manager.io/certificates: get list watch create patch delete';
const ofExternalDns = 'externaldns.k8s.io/dnsendpoints: get list watch create patch delete';

describe.skipIf(lacksHelm())('the rights of the operator', () => {
  let objects: readonly Rendered[];
  beforeAll(async () => {
    objects = await render();
  });

  test('in its own namespace', () => {
    expect(rightsOf(byName(objects, 'Role', 'mail-postrider-operator'))).toEqual(ofItself.toSorted());
  });

  test('in the cluster', () => {
    const expected = [...ofResources, ofCertManager, '/namespaces: get list watch'].toSorted();
    expect(rightsOf(byName(objects, 'ClusterRole', 'mail-system-mail-postrider-operator'))).toEqual(expected);
  });

  test('less without cert-manager, more with external-dns', async () => {
    const some = await render('operator.certManager=false', 'operator.externalDNS=true');
    const expected = [...ofResources, ofExternalDns, '/namespaces: get list watch'].toSorted();
    expect(rightsOf(byName(some, 'ClusterRole', 'mail-system-mail-postrider-operator'))).toEqual(expected);
  });

  test('with a list of namespaces: the same in each of them and in its own, and none in the cluster', async () => {
    const some = await render('operator.watchNamespaces={team-a,team-b}', 'rbac.aggregate=false');
    expect(byKind(some, 'ClusterRole')).toEqual([]);
    expect(byKind(some, 'ClusterRoleBinding')).toEqual([]);
    const roles = byKind(some, 'Role').filter(({ metadata }) => metadata.name === 'mail-postrider-operator-resources');
    expect(roles.map(({ metadata }) => metadata.namespace)).toEqual(['team-a', 'team-b', 'mail-system']);
    for (const role of roles) expect(rightsOf(role)).toEqual([...ofResources, ofCertManager].toSorted());
  });

  test('are given to its account alone', () => {
    for (const binding of [...byKind(objects, 'RoleBinding'), ...byKind(objects, 'ClusterRoleBinding')]) {
      expect((binding as unknown as { subjects: unknown }).subjects).toEqual([
        { kind: 'ServiceAccount', name: 'mail-postrider-operator', namespace: 'mail-system' },
      ]);
    }
  });

  test('no role has a star', () => {
    for (const role of [...byKind(objects, 'Role'), ...byKind(objects, 'ClusterRole')]) {
      expect(JSON.stringify(role.rules)).not.toContain('*');
    }
  });

  test('people who may view or edit the cluster may view or edit mail, and not its passwords by that', () => {
    const view = byName(objects, 'ClusterRole', 'mail-system-mail-postrider-view');
    const edit = byName(objects, 'ClusterRole', 'mail-system-mail-postrider-edit');
    expect(rightsOf(view)).toEqual(kinds.map((kind) => `postrider.dev/${kind}: get list watch`));
    // Whoever may make a MailServer may have any domain.
    const edited = kinds.filter((kind) => kind !== 'mailservers');
    expect(rightsOf(edit)).toEqual(
      edited.map((kind) => `postrider.dev/${kind}: create update patch delete deletecollection`),
    );
    expect(view.metadata.labels).toMatchObject({ 'rbac.authorization.k8s.io/aggregate-to-view': 'true' });
    expect(edit.metadata.labels).not.toHaveProperty(['rbac.authorization.k8s.io/aggregate-to-view']);
  });
});
