/** The chart as helm renders it. helm is looked for as HELM, beside KUBEBUILDER_ASSETS' programs, and on the PATH. */
import { execFile, spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '#operator/kube/resource.ts';

export const chartFolder = 'charts/postrider';

/** A rendered object; what it is made of is looked into as it comes. */
export type Rendered = KubeObject & {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: readonly Readonly<Record<string, unknown>>[];
};

const candidates = [
  process.env['HELM'],
  process.env['KUBEBUILDER_ASSETS'] ? path.join(process.env['KUBEBUILDER_ASSETS'], 'helm') : undefined,
  'helm',
].filter((name): name is string => name !== undefined && name !== '');
const helmProgram = candidates.find((name) => spawnSync(name, ['version'], { stdio: 'ignore' }).status === 0) ?? null;

/** For `describe.skipIf(lacksHelm())`: says so loudly. With TEST_REQUIRE_HELM it throws. */
export function lacksHelm(): boolean {
  if (helmProgram !== null) return false;
  const message = "NO HELM: the chart's tests are skipped. Put helm on the PATH, or set HELM";
  if (process.env['TEST_REQUIRE_HELM']) throw new Error(message);
  console.warn(message);
  return true;
}

/** Rejects with what helm says on standard error. */
export async function helm(...args: readonly string[]): Promise<string> {
  if (helmProgram === null) throw new Error('there is no helm');
  const { stdout } = await promisify(execFile)(helmProgram, [...args], { maxBuffer: 32 * 1024 * 1024 });
  return stdout;
}

/** `sets` as of `--set`, or options that begin with a hyphen. */
export async function render(...sets: readonly string[]): Promise<readonly Rendered[]> {
  const options = sets.flatMap((one) => (one.startsWith('-') ? [one] : ['--set', one]));
  return parseObjects(await helm('template', 'mail', chartFolder, '--namespace', 'mail-system', ...options));
}

export function parseObjects(text: string): readonly Rendered[] {
  return parseAllDocuments(text, { version: '1.1' })
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);
}

export function byKind(objects: readonly Rendered[], kind: string): readonly Rendered[] {
  return objects.filter((object) => object.kind === kind);
}

export function byName(objects: readonly Rendered[], kind: string, name: string): Rendered {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`the chart has no ${kind} ${name}`);
  return found;
}

/** Every pod that the objects bring about, with the object's name. */
export function podsOf(objects: readonly Rendered[]): readonly { readonly of: string; readonly pod: PodTemplate }[] {
  return objects.flatMap((object) => {
    const of = `${object.kind}/${object.metadata.name}`;
    if (object.kind === 'Pod') return [{ of, pod: object as unknown as PodTemplate }];
    const template = object.spec?.['template'];
    return template === undefined ? [] : [{ of, pod: template as PodTemplate }];
  });
}

export type PodTemplate = {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly serviceAccountName?: string;
    readonly automountServiceAccountToken?: boolean;
    readonly enableServiceLinks?: boolean;
    readonly terminationGracePeriodSeconds?: number;
    readonly hostNetwork?: boolean;
    readonly hostPID?: boolean;
    readonly hostIPC?: boolean;
    readonly securityContext?: SecurityContext;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
    readonly volumes?: readonly Readonly<Record<string, unknown>>[];
  };
};

export type Container = {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly securityContext?: SecurityContext;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly envFrom?: readonly { readonly configMapRef?: { readonly name: string } }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly hostPort?: number }[];
};

export type SecurityContext = {
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly procMount?: string;
  readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
  readonly seccompProfile?: { readonly type: string };
};
