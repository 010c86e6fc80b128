/**
 * `make e2e`: a whole installation on a cluster, told step by step. The cluster is that of KUBECONFIG, else one that
 * the tool kind makes for this run. It must have no Postrider: definitions and the namespace are removed in the end.
 *
 *     E2E=short       a part of it, within ten minutes
 *     E2E_LOAD=cmd    brings an image archive into the cluster: `cmd archive.tar`
 *     E2E_IMAGES=skip the images are there already
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
import { upgradeAndRollback } from './revisions.ts';
import { certificateRotation, passwordRotation } from './rotation.ts';
import { Story } from './story.ts';

const isShort = process.env['E2E'] === 'short';
const story = new Story();

async function tell(): Promise<void> {
  story.chapter('Cluster and images');
  await using cluster = await provideCluster(story);
  await provideImages(story, cluster.load);
  try {
    let scene = await install(story);
    await lookAround(scene);
    await scale(scene);
    await rollingUpgrade(scene);
    await eviction(scene);
    await podKills(scene, isShort ? ['imap'] : ['imap', 'submission', 'mx', 'outbound']);
    if (!isShort) {
      await leaderKill(scene);
      await databaseRestart(scene);
    }
    scene = { ...scene, alice: await passwordRotation(scene) };
    await certificateRotation(scene);
    await deletionPolicies(scene);
    if (!isShort) {
      await autoscaling(scene);
      await upgradeAndRollback(scene);
      await dkimRotation(scene);
    }
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
