/** Mailboxes that are deleted, with each policy. */
import { eventually } from './story.ts';
import type { Scene } from './scene.ts';
import { deliver, has, loginOf, opens, type Login } from './mail-client.ts';
import { apply, get, hasCondition, kubectl } from './kubectl.ts';

export async function deletionPolicies(scene: Scene): Promise<void> {
  const { story, endpoints } = scene;
  story.chapter('Deletion policies');

  const retained = await story.step('Retain: the login is refused, the mail is kept', async () => {
    const { login, mark } = await mailboxWithMail(scene, 'retained', {});
    await kubectl('delete', 'mailbox', 'retained', '--timeout=60s');
    await eventually('the login is refused', 30, async () => !(await opens(endpoints, login)));
    return { login, mark };
  });
  await story.step('Retain: the same address again has its mail again', async () => {
    await apply(mailbox('retained', {}));
    const login = await eventually('a password', 30, () => loginOf('retained'));
    await eventually('the mail is there', 30, () => has(endpoints, login, retained.mark));
  });

  await story.step('Orphan: the account goes on without its resource', async () => {
    const { login, mark } = await mailboxWithMail(scene, 'orphaned', { deletionPolicy: 'Orphan' });
    await kubectl('delete', 'mailbox', 'orphaned', '--timeout=60s');
    await eventually('the mail is there', 30, () => has(endpoints, login, mark));
  });

  await story.step('Delete: the mail is gone, the same address again is empty', async () => {
    const spec = { deletionPolicy: 'Delete', deletionGracePeriod: '0s' };
    const { login, mark } = await mailboxWithMail(scene, 'deleted', spec);
    await kubectl('delete', 'mailbox', 'deleted', '--timeout=120s');
    await eventually('the login is refused', 30, async () => !(await opens(endpoints, login)));
    const again = await eventually('a new mailbox of the same address', 120, async () => {
      if ((await get('mailbox', 'deleted')) === null) await apply(mailbox('deleted', spec));
      const made = await get('mailbox', 'deleted');
      return made !== null && hasCondition(made, 'Ready') ? loginOf('deleted') : null;
    });
    await eventually('it opens', 30, () => opens(endpoints, again));
    if (await has(endpoints, again, mark)) throw new Error('the mail of the deleted mailbox is there again');
    // Its finalizer needs the operator, which is uninstalled later.
    await kubectl('delete', 'mailbox', 'deleted', '--timeout=120s');
  });
}

function mailbox(name: string, spec: object): object {
  return {
    apiVersion: 'postrider.dev/v1alpha1',
    kind: 'Mailbox',
    metadata: { name },
    spec: { address: `${name}@example.test`, ...spec },
  };
}

async function mailboxWithMail(
  { endpoints }: Scene,
  name: string,
  spec: object,
): Promise<{ login: Login; mark: string }> {
  await apply(mailbox(name, spec));
  const login = await eventually(`the password of ${name}`, 30, () => loginOf(name));
  await eventually(`${name} opens`, 30, () => opens(endpoints, login));
  const mark = await deliver(endpoints, login.address);
  await eventually('its mail is there', 30, () => has(endpoints, login, mark));
  return { login, mark };
}
