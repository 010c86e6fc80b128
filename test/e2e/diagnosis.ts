/** After a failure: what a person would look at first, printed, and the logs of all pods in a folder. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { kubectl, list } from './kubectl.ts';
import type { Story } from './story.ts';

const folder = path.resolve('coverage/e2e/logs');

export async function tellWhatHappened(story: Story): Promise<void> {
  story.chapter('It failed. What is there');
  const ask = async (...args: readonly string[]): Promise<void> => {
    story.note(await kubectl(...args).catch((error: unknown) => String(error)));
  };
  await ask('get', 'pods', '-o', 'wide');
  await ask('get', 'mail');
  const events = await kubectl('get', 'events', '--sort-by=.lastTimestamp').catch((error: unknown) => String(error));
  story.note(events.split('\n').slice(-15).join('\n'));
  mkdirSync(folder, { recursive: true });
  for (const { metadata } of await list('pods').catch(() => [])) {
    for (const previous of [false, true]) {
      const options = previous ? ['--previous'] : [];
      const log = await kubectl('logs', metadata.name, '--tail=5000', ...options).catch(() => null);
      if (log !== null) writeFileSync(path.join(folder, `${metadata.name}${previous ? '.previous' : ''}.log`), log);
    }
  }
  writeFileSync(path.join(folder, 'resources.yaml'), await kubectl('get', 'mail', '-o', 'yaml').catch(() => ''));
  story.note(`logs and resources are in ${folder}`);
}
