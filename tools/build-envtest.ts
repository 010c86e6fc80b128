/**
 * Builds etcd, kube-apiserver and kubectl from the Go modules that tools/envtest/go.mod pins, for the tests that need
 * a real Kubernetes API server. They go into a cache folder of the user's and are built once a version; where the PATH
 * has a kube-apiserver of that very version, with the others beside it, these are copied. Ends with 0 and a line that
 * says so where there is no Go: it installs nothing. So it does with pebble, an ACME authority for tests.
 */
import { spawnSync } from 'node:child_process';
import { constants, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { envtestFolder, pebbleFolder } from './envtest/folder.ts';

const programs = [
  { name: 'etcd', source: 'go.etcd.io/etcd/server/v3' },
  { name: 'kube-apiserver', source: 'k8s.io/kubernetes/cmd/kube-apiserver' },
  { name: 'kubectl', source: 'k8s.io/kubernetes/cmd/kubectl' },
] as const;

/** Where Go is when it is not on the PATH: its own installer, Debian's package of another version. */
const goFolders = ['/usr/local/go/bin', '/usr/lib/go/bin'];

const folder = envtestFolder(readFileSync('tools/envtest/go.mod', 'utf8'), process.env);
const missing = programs.filter(({ name }) => !existsSync(path.join(folder, name)));
const built = missing.length === 0 ? undefined : builtFolder();
if (process.env['KUBEBUILDER_ASSETS']) {
  console.log(`envtest: KUBEBUILDER_ASSETS is set, its programs are used (${process.env['KUBEBUILDER_ASSETS']})`);
} else if (missing.length === 0) {
  console.log(`envtest: ${folder} has all programs`);
} else if (built !== undefined) {
  console.log(`envtest: ${folder} gets its programs from ${built}`);
  for (const { name } of missing) {
    put(path.join(folder, name), (part) => copyFileSync(path.join(built, name), part, constants.COPYFILE_FICLONE));
  }
} else if (!hasGo()) {
  console.log('envtest: there is no Go here; install it (Debian: golang), or set KUBEBUILDER_ASSETS');
} else {
  build();
}

const pebble = path.join(pebbleFolder(readFileSync('tools/pebble/go.mod', 'utf8'), process.env), 'pebble');
if (existsSync(pebble)) {
  console.log(`envtest: ${pebble} is there`);
} else if (hasGo()) {
  console.log(`envtest: building ${pebble}`);
  const source = 'github.com/letsencrypt/pebble/v2/cmd/pebble';
  try {
    put(pebble, (part) => goBuild({ folder: 'tools/pebble', source, ldflags: '-s -w', part }));
  } catch (error) {
    // Its tests are skipped, loudly; those before an API server are not to be lost for it.
    console.error(`!!! ${(error as Error).message}: no ACME authority for tests`);
  }
} else {
  console.log('envtest: there is no Go here, so no pebble');
}

/** Looks for Go, and puts it on the PATH of what is started from here. */
function hasGo(): boolean {
  process.env['PATH'] = [process.env['PATH'] ?? '', ...goFolders].join(path.delimiter);
  return spawnSync('go', ['version']).status === 0;
}

/** A folder on the PATH with all of the programs, built from the pinned version of Kubernetes. */
function builtFolder(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).filter((one) => path.isAbsolute(one));
  return folders.find((one) => {
    if (!programs.every(({ name }) => existsSync(path.join(one, name)))) return false;
    const { stdout } = spawnSync(path.join(one, 'kube-apiserver'), ['--version'], { encoding: 'utf8' });
    return stdout?.trim() === `Kubernetes ${path.basename(folder)}`;
  });
}

/** Whole or not at all, also where two runs meet. */
function put(target: string, make: (part: string) => void): void {
  mkdirSync(path.dirname(target), { recursive: true });
  const part = `${target}.${process.pid}.part`;
  make(part);
  renameSync(part, target);
}

function build(): void {
  const version = path.basename(folder);
  const [major, minor] = version.slice(1).split('.');
  const stamp = 'k8s.io/component-base/version';
  const flags = [`gitVersion=${version}`, `gitMajor=${major}`, `gitMinor=${minor}`].map(
    (flag) => `-X ${stamp}.${flag}`,
  );
  for (const { name, source } of missing) {
    console.log(`envtest: building ${name} into ${folder}; some minutes the first time`);
    const ldflags = `-s -w ${name === 'etcd' ? '' : flags.join(' ')}`;
    put(path.join(folder, name), (part) => goBuild({ folder: 'tools/envtest', source, ldflags, part }));
  }
}

type GoBuild = { readonly folder: string; readonly source: string; readonly ldflags: string; readonly part: string };

function goBuild({ folder: cwd, source, ldflags, part }: GoBuild): void {
  const { status } = spawnSync('go', ['build', '-trimpath', '-ldflags', ldflags, '-o', part, source], {
    cwd,
    stdio: 'inherit',
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly' },
  });
  if (status !== 0) throw new Error(`envtest: building ${source} failed`);
}
