/** The cluster of KUBECONFIG, else one that kind makes where Docker answers, and that goes again. */
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { run } from './kubectl.ts';
import type { Story } from './story.ts';

export interface Cluster extends AsyncDisposable {
  /** A command that brings an image archive into it; null: it finds images itself. */
  readonly load: string | null;
}

const kindName = 'postrider-e2e';

export async function provideCluster(story: Story): Promise<Cluster> {
  for (const program of ['kubectl', 'helm']) {
    if (spawnSync(program, ['version', '--client'], { stdio: 'ignore' }).error)
      throw new Error(`${program} is not on the PATH`);
  }
  if (process.env['KUBECONFIG'] !== undefined && process.env['KUBECONFIG'] !== '') {
    const version = await run('kubectl', 'version', '-o', 'json');
    const { serverVersion } = JSON.parse(version) as { serverVersion: { gitVersion: string } };
    story.note(`the cluster of KUBECONFIG, Kubernetes ${serverVersion.gitVersion}`);
    return { load: process.env['E2E_LOAD'] ?? null, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  // npm has a package of that name that is something else: it has no subcommand `create cluster`.
  const hasKind = spawnSync('kind', ['get', 'clusters'], { stdio: 'ignore' }).status === 0;
  if (!hasKind) throw new Error('no cluster: set KUBECONFIG, or install kind beside a Docker that answers');
  await story.step('kind made a cluster', async () => {
    await run('kind', 'create', 'cluster', '--name', kindName, '--wait', '120s');
  });
  process.env['KUBECONFIG'] = '';
  return {
    load: process.env['E2E_LOAD'] ?? `kind load image-archive --name ${kindName}`,
    async [Symbol.asyncDispose]() {
      if (process.env['E2E_KEEP'] === undefined) await run('kind', 'delete', 'cluster', '--name', kindName);
    },
  };
}
