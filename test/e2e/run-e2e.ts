/**
 * `make e2e`: a whole installation on a cluster, told step by step. The cluster is that of KUBECONFIG, else one that
 * the tool kind makes for this run. It must have no Postrider: definitions and the namespace are removed in the end.
 *
 *     E2E=short       a part of it, within ten minutes
 *     E2E_CHAPTERS=…  these alone between install and uninstall, by name (`dkim,autoscaling`)
 *     E2E_LOAD=cmd    brings an image archive into the cluster: `cmd archive.tar`
 *     E2E_IMAGES=skip the images are there already
 *     E2E_FIRST_MAIL_SECONDS=…  from `helm install` to a mail that is read, at most (120), for a machine that is busy
 *     E2E_KEEP=1      leaves everything as it is in the end, or where it failed
 */
import process from 'node:process';
import { autoscaling } from './autoscaling.ts';
import { provideCluster } from './cluster.ts';
import { deletionPolicies } from './deletion.ts';
import { tellWhatHappened } from './diagnosis.ts';
import { dkimRotation } from './dkim.ts';
import { databaseRestart, eviction, leaderKill, podKills, rollingUpgrade, scale } from './disruption.ts';
import { provideImages } from './images.ts';
import { cleanUp, install, lookAround, reinstall, uninstall } from './installation.ts';
import { neighbours } from './neighbours.ts';
import { upgradeAndRollback } from './revisions.ts';
import { certificateRotation, passwordRotation } from './rotation.ts';
import type { Scene } from './scene.ts';
import { Story } from './story.ts';

type Chapter = {
  readonly name: string;
  readonly isInShort: boolean;
  /** Resolves with what is different for the chapters after it. */
  readonly tell: (scene: Scene) => Promise<Scene | void>;
};

const isShort = process.env['E2E'] === 'short';
const chapters: readonly Chapter[] = [
  { name: 'look', isInShort: true, tell: lookAround },
  { name: 'scale', isInShort: true, tell: scale },
  { name: 'upgrade', isInShort: true, tell: rollingUpgrade },
  { name: 'eviction', isInShort: true, tell: eviction },
  {
    name: 'kills',
    isInShort: true,
    tell: (scene) => podKills(scene, isShort ? ['imap'] : ['imap', 'submission', 'mx', 'outbound']),
  },
  { name: 'leader', isInShort: false, tell: leaderKill },
  { name: 'database', isInShort: false, tell: databaseRestart },
  { name: 'password', isInShort: true, tell: passwordRotation },
  { name: 'certificate', isInShort: true, tell: certificateRotation },
  { name: 'deletion', isInShort: true, tell: deletionPolicies },
  { name: 'autoscaling', isInShort: false, tell: autoscaling },
  { name: 'neighbours', isInShort: false, tell: neighbours },
  { name: 'rollback', isInShort: false, tell: upgradeAndRollback },
  { name: 'dkim', isInShort: false, tell: dkimRotation },
];

function chosenChapters(): readonly Chapter[] {
  const names = process.env['E2E_CHAPTERS']?.split(',');
  if (names === undefined) return chapters.filter(({ isInShort }) => isInShort || !isShort);
  const unknown = names.filter((name) => !chapters.some((chapter) => chapter.name === name));
  if (unknown.length > 0) {
    const known = chapters.map(({ name }) => name).join(', ');
    throw new Error(`E2E_CHAPTERS: there is no ${unknown.join(', ')}; there are ${known}`);
  }
  return chapters.filter(({ name }) => names.includes(name));
}

const story = new Story();

async function tell(): Promise<void> {
  const chosen = chosenChapters();
  story.chapter('Cluster and images');
  await using cluster = await provideCluster(story);
  await provideImages(story, cluster.load);
  try {
    let scene = await install(story);
    for (const chapter of chosen) scene = (await chapter.tell(scene)) ?? scene;
    await uninstall(scene);
    if (!isShort) await reinstall(scene);
  } catch (error) {
    await tellWhatHappened(story);
    throw error;
  } finally {
    if (process.env['E2E_KEEP'] === undefined) await cleanUp(story);
  }
}

try {
  await tell();
  story.chapter(`All ${story.steps} steps went well, in ${(story.seconds / 60).toFixed(1)} minutes`);
} catch (error) {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) console.error(`  ${cause.message}`);
  process.exitCode = 1;
}
