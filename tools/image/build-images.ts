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

type Builder = {
  readonly name: string;
  /** Succeeds where the builder can work: a client without its daemon does not. */
  readonly probe: readonly string[];
  readonly build: readonly string[];
  readonly flags: string;
  /** Makes dates in the image's own description those of the sources. */
  readonly dated: (epoch: string) => readonly string[];
  readonly save: (image: string, file: string) => readonly string[];
};

const saveDocker = (image: string, file: string) => ['save', '--output', file, image];
const builders: readonly Builder[] = [
  // BuildKit takes SOURCE_DATE_EPOCH from the build argument.
  { name: 'docker', probe: ['info'], build: ['build'], flags: '', dated: () => [], save: saveDocker },
  {
    name: 'podman',
    probe: ['info'],
    build: ['build'],
    flags: '',
    dated: (epoch) => ['--timestamp', epoch],
    save: saveDocker,
  },
  {
    name: 'buildah',
    probe: ['info'],
    build: ['bud'],
    // Needs neither a network of its own nor more rights than the one who calls it.
    flags: '--network host --isolation chroot --layers',
    dated: (epoch) => ['--timestamp', epoch],
    save: (image, file) => ['push', image, `docker-archive:${file}:${image}`],
  },
];

const { BUILDER, BUILD_FLAGS, IMAGE_PREFIX = 'docker.io/postrider/', NODE_IMAGE, IMAGE_ARCHIVES } = process.env;
const version = (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version;
const tag = process.env['TAG'] ?? version;
const epoch = process.env['SOURCE_DATE_EPOCH'] ?? git('log', '-1', '--format=%ct') ?? '0';

const builder = builders.find(
  ({ name, probe }) =>
    (BUILDER === undefined || BUILDER === name) && spawnSync(name, probe, { stdio: 'ignore' }).status === 0,
);
if (builder === undefined) {
  console.error(`no ${BUILDER ?? 'docker, podman or buildah'} answers; install one, or start its daemon`);
  process.exitCode = 69;
} else {
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
  const moreFlags = (BUILD_FLAGS ?? flags).split(' ').filter((flag) => flag !== '');
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
