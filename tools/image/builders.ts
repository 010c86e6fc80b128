/** The programs that build images, and how each of them is asked. */
import { spawnSync } from 'node:child_process';
import process from 'node:process';

export type Builder = {
  readonly name: string;
  /** Succeeds where the builder can work: a client without its daemon does not. */
  readonly probe: readonly string[];
  readonly build: readonly string[];
  readonly flags: readonly string[];
  /** Makes dates in the image's own description those of the sources. */
  readonly dated: (epoch: string) => readonly string[];
  readonly save: (image: string, file: string) => readonly string[];
  /** Prints the digest of the image's description, which has those of its layers. */
  readonly identify: (image: string) => readonly string[];
};

const ofDocker = {
  probe: ['info'],
  build: ['build'],
  flags: [],
  save: (image: string, file: string) => ['save', '--output', file, image],
  identify: (image: string) => ['image', 'inspect', '--format', '{{.Id}}', image],
};

const builders: readonly Builder[] = [
  // BuildKit takes SOURCE_DATE_EPOCH from the build argument.
  { ...ofDocker, name: 'docker', dated: () => [] },
  { ...ofDocker, name: 'podman', dated: (epoch) => ['--timestamp', epoch] },
  {
    name: 'buildah',
    probe: ['info'],
    build: ['bud'],
    // Needs neither a network of its own nor more rights than the one who calls it.
    flags: ['--network', 'host', '--isolation', 'chroot', '--layers'],
    dated: (epoch) => ['--timestamp', epoch],
    save: (image, file) => ['push', image, `docker-archive:${file}:${image}`],
    identify: (image) => ['inspect', '--type', 'image', '--format', '{{.FromImageID}}', image],
  },
];

/** The first that answers, or BUILDER alone; null, and exit code 69 (sysexits.h EX_UNAVAILABLE) with a line, where none does. */
export function findBuilder(): Builder | null {
  const { BUILDER } = process.env;
  const found = builders.find(
    ({ name, probe }) =>
      (BUILDER === undefined || BUILDER === name) && spawnSync(name, probe, { stdio: 'ignore' }).status === 0,
  );
  if (found !== undefined) return found;
  console.error(`no ${BUILDER ?? 'docker, podman or buildah'} answers; install one, or start its daemon`);
  process.exitCode = 69;
  return null;
}
