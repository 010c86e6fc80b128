/**
 * `make images`: builds postrider/server and postrider/operator with docker, podman or buildah, whichever answers.
 * Arguments name some of them (`server`).
 *
 *     BUILDER=buildah       this one, whatever else answers
 *     BUILD_FLAGS='…'       instead of the flags that a builder gets here by default
 *     IMAGE_PREFIX, TAG     names of the images (default postrider/ and the version of package.json)
 *     NODE_IMAGE            base of both stages
 *     IMAGE_ARCHIVES=dir    also writes server.tar and operator.tar there, as `docker load` takes them
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { findBuilder, type Builder } from './builders.ts';

const { BUILD_FLAGS, IMAGE_PREFIX = 'docker.io/postrider/', NODE_IMAGE, IMAGE_ARCHIVES } = process.env;
const version = (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version;
const tag = process.env['TAG'] ?? version;
const epoch = process.env['SOURCE_DATE_EPOCH'] ?? git('log', '-1', '--format=%ct') ?? '0';

const builder = findBuilder();
if (builder !== null) {
  const asked = process.argv.slice(2);
  for (const part of asked.length > 0 ? asked : ['server', 'operator']) buildImage(builder, part);
}

function buildImage({ name, build, flags, dated, save }: Builder, part: string): void {
  const image = `${IMAGE_PREFIX}${part}:${tag}`;
  const args = {
    SOURCE_DATE_EPOCH: epoch,
    VERSION: version,
    REVISION: git('rev-parse', 'HEAD') ?? 'unknown',
    ...(NODE_IMAGE !== undefined && { BUILD_IMAGE: NODE_IMAGE, BASE_IMAGE: NODE_IMAGE }),
  };
  const buildArgs = Object.entries(args).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`]);
  const moreFlags = BUILD_FLAGS?.split(' ').filter((flag) => flag !== '') ?? flags;
  run(name, [...build, ...moreFlags, ...dated(epoch), ...buildArgs, '-t', image, '-f', `Dockerfile.${part}`, '.']);
  console.log(`built ${image} with ${name}`);
  if (IMAGE_ARCHIVES === undefined) return;
  mkdirSync(IMAGE_ARCHIVES, { recursive: true });
  const file = path.resolve(IMAGE_ARCHIVES, `${part}.tar`);
  // docker-archive is not overwritten.
  rmSync(file, { force: true });
  run(name, save(image, file));
  console.log(`wrote ${file}`);
}

function run(program: string, args: readonly string[]): void {
  const { status } = spawnSync(program, args, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${program} ${args[0]} ended with ${status}`);
}

function git(...args: readonly string[]): string | null {
  const { status, stdout } = spawnSync('git', args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : null;
}
