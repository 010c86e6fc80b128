/**
 * Brings the images into the cluster. E2E_LOAD is a command that takes an image archive as its last argument
 * (`kind load image-archive` has its own default); without it the cluster is believed to find the images itself.
 * E2E_IMAGES=skip leaves out building and loading.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { run } from './kubectl.ts';
import type { Story } from './story.ts';

const archives = path.resolve('coverage/e2e/images');
const postgresImage = 'docker.io/library/postgres:18-bookworm';

export async function provideImages(story: Story, load: string | null): Promise<void> {
  if (process.env['E2E_IMAGES'] === 'skip') {
    story.note('E2E_IMAGES=skip: the images are taken to be in the cluster already');
    return;
  }
  mkdirSync(archives, { recursive: true });
  await story.step('both images are built (make images)', () => {
    const env = { ...process.env, ...(load !== null && { IMAGE_ARCHIVES: archives }) };
    const { status, stderr } = spawnSync(process.execPath, ['tools/image/build-images.ts'], { env, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr.slice(-4000));
    return Promise.resolve();
  });
  if (load === null) {
    story.note('E2E_LOAD is not set: the cluster is taken to find the images by their names');
    return;
  }
  for (const part of ['server', 'operator']) {
    await story.step(`the ${part}'s image is in the cluster (${load})`, () =>
      loadArchive(load, path.join(archives, `${part}.tar`)),
    );
  }
  await providePostgres(story, load);
}

/** For a cluster that reaches no registry: the image of the bundled Postgres, where the builder has it. */
async function providePostgres(story: Story, load: string): Promise<void> {
  const nodes = await run('kubectl', 'get', 'nodes', '-o', 'jsonpath={.items[*].status.images[*].names[*]}');
  if (nodes.includes(postgresImage)) return;
  const file = path.join(archives, 'postgres.tar');
  const savers: readonly (readonly [program: string, args: readonly string[]])[] = [
    ['docker', ['save', '--output', file, postgresImage]],
    ['podman', ['save', '--output', file, postgresImage]],
    ['buildah', ['push', postgresImage, `docker-archive:${file}:${postgresImage}`]],
  ];
  await story.step('the image of Postgres is in the cluster, if the builder has it', async () => {
    const isSaved = savers.some(([program, args]) => spawnSync(program, args, { stdio: 'ignore' }).status === 0);
    if (isSaved) await loadArchive(load, file);
  });
}

async function loadArchive(load: string, file: string): Promise<void> {
  await run('sh', '-c', `${load} "$1"`, 'sh', file);
}
