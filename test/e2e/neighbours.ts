/** Two installations of the same name side by side, each with rights in its own namespace alone. */
import { eventually } from './story.ts';
import { allRolledOut, chart, upgrade, valuesArguments, type Scene } from './scene.ts';
import { deliver, findEndpoints, has, loginOf, opens } from './mail-client.ts';
import { applyIn, get, hasCondition, namespace, release, run } from './kubectl.ts';

export const otherNamespace = `${namespace}-other`;

const apiVersion = 'postrider.dev/v1alpha1';

export async function neighbours({ story, endpoints, alice }: Scene): Promise<void> {
  story.chapter('Two installations side by side');
  await story.step('the first looks after its own namespace alone, without rights in the others', async () => {
    await upgrade(`operator.watchNamespaces={${namespace}}`);
    await allRolledOut();
    await assertNoRights(namespace, otherNamespace);
  });
  await story.step(`helm install of a second one, of the same name, in ${otherNamespace}`, async () => {
    await run('kubectl', 'create', 'namespace', otherNamespace);
    await run('kubectl', 'label', 'namespace', otherNamespace, 'pod-security.kubernetes.io/enforce=restricted');
    const only = [`operator.watchNamespaces={${otherNamespace}}`, 'crds.enabled=false', 'operator.replicas=1'];
    const small = ['imap.replicas=1', 'submission.replicas=1', 'outbound.enabled=false'];
    const values = valuesArguments(...only, ...small);
    await run('helm', 'install', release, chart, '--namespace', otherNamespace, ...values);
    await assertNoRights(otherNamespace, namespace);
  });
  const other = await story.step('the same domain and the same address there, with another password', async () => {
    await applyIn(
      otherNamespace,
      { apiVersion, kind: 'MailDomain', metadata: { name: 'example-test' }, spec: { domain: 'example.test' } },
      { apiVersion, kind: 'Mailbox', metadata: { name: 'alice' }, spec: { address: alice.address } },
    );
    const login = await eventually('a password', 120, () => loginOf('alice', otherNamespace));
    if (login.password === alice.password) throw new Error('it is the password of the first installation');
    return login;
  });
  await story.step(
    'what arrives at the one is there and not at the other, and each knows its own password',
    async () => {
      const otherEndpoints = await findEndpoints(otherNamespace);
      const there = await eventually('the second takes a mail', 180, () => deliver(otherEndpoints, alice.address));
      await eventually('it is read there', 60, () => has(otherEndpoints, other, there));
      const here = await deliver(endpoints, alice.address);
      await eventually('a mail to the first is read here', 30, () => has(endpoints, alice, here));
      if (await has(endpoints, alice, there)) throw new Error('mail of the second came to the first');
      if (await has(otherEndpoints, other, here)) throw new Error('mail of the first came to the second');
      if (await opens(endpoints, other)) throw new Error('the password of the second opens the first');
      if (await opens(otherEndpoints, alice)) throw new Error('the password of the first opens the second');
    },
  );
  await story.step('each says Ready of its own mailbox', async () => {
    for (const where of [namespace, otherNamespace]) {
      await eventually(`alice in ${where} is Ready`, 60, async () => {
        const mailbox = await get('mailbox', 'alice', where);
        return mailbox !== null && hasCondition(mailbox, 'Ready');
      });
    }
  });
  await story.step('the second one is uninstalled and its namespace deleted; the first goes on', async () => {
    await run('helm', 'uninstall', release, '--namespace', otherNamespace, '--wait', '--timeout', '5m');
    await run('kubectl', 'delete', 'namespace', otherNamespace, '--timeout=180s');
    const mark = await deliver(endpoints, alice.address);
    await eventually('alice reads it', 30, () => has(endpoints, alice, mark));
  });
}

/** The operator of one namespace may read neither resources nor Secrets of the other. */
async function assertNoRights(of: string, elsewhere: string): Promise<void> {
  const account = `system:serviceaccount:${of}:${release}-operator`;
  const asked = async (resource: string, where: string): Promise<string> => {
    const question = ['auth', 'can-i', 'list', resource, '--namespace', where, '--as', account];
    // `kubectl auth can-i` ends with 1 where the answer is no.
    const answer = await run('sh', '-c', 'kubectl "$@" || true', 'sh', ...question);
    return answer.trim();
  };
  for (const resource of ['secrets', 'mailboxes.postrider.dev']) {
    if ((await asked(resource, of)) !== 'yes') throw new Error(`${account} may not list ${resource} in ${of}`);
    if ((await asked(resource, elsewhere)) !== 'no') throw new Error(`${account} may list ${resource} in ${elsewhere}`);
  }
}
