/** helm upgrade and rollback. */
import { eventually } from './story.ts';
import { allRolledOut, upgrade, type Scene } from './scene.ts';
import { handIn, has } from './mail-client.ts';
import { get, helm, release } from './kubectl.ts';

export async function upgradeAndRollback({ story, endpoints, alice, bob }: Scene): Promise<void> {
  story.chapter('Upgrade and rollback');
  const level = async (): Promise<string | undefined> =>
    (await get('configmap', `${release}-imap`))?.data?.['POSTRIDER_LOG_LEVEL'];
  const flows = async (): Promise<void> => {
    const mark = await eventually('alice hands in a mail', 60, () => handIn(endpoints, alice, bob.address));
    await eventually('bob reads it', 30, () => has(endpoints, bob, mark));
  };
  await story.step(
    'helm upgrade runs the migrations first, then rolls the servers out with a new setting',
    async () => {
      await upgrade('config.LOG_LEVEL=debug');
      if ((await level()) !== 'debug') throw new Error('the setting did not come');
      await allRolledOut();
    },
  );
  await story.step('mail flows', flows);
  await story.step('helm rollback takes it back', async () => {
    await helm('rollback', release, '--timeout', '5m');
    if ((await level()) !== undefined) throw new Error('the setting is still there');
    await allRolledOut();
  });
  await story.step('mail flows', flows);
  await story.step('helm rollback to the first revision, whose Job had ended, works too', async () => {
    await helm('rollback', release, '1', '--timeout', '5m');
    await allRolledOut();
  });
  await story.step('mail flows', flows);
}
