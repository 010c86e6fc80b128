/** What the Pod Security Standard "restricted" (Kubernetes 1.29 and newer) refuses, checked by its own words. */
import type { Container, PodTemplate } from './helm.ts';

const allowedVolumes = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);
const allowedSeccomp = new Set(['RuntimeDefault', 'Localhost']);

/** In words; empty: the pod may run in a namespace that enforces "restricted". */
export function restrictedViolations({ spec }: PodTemplate): readonly string[] {
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  return [...podViolations(spec), ...containers.flatMap((container) => containerViolations(container, spec))];
}

function podViolations(spec: PodTemplate['spec']): readonly string[] {
  const found: string[] = [];
  for (const host of ['hostNetwork', 'hostPID', 'hostIPC'] as const) if (spec[host]) found.push(host);
  for (const volume of spec.volumes ?? []) {
    const kinds = Object.keys(volume).filter((key) => key !== 'name');
    if (!kinds.every((kind) => allowedVolumes.has(kind)))
      found.push(`volume ${String(volume['name'])}: ${kinds.join()}`);
  }
  return found;
}

function containerViolations(
  { name, securityContext: own = {}, ports = [] }: Container,
  { securityContext: pod = {} }: PodTemplate['spec'],
): readonly string[] {
  const seccomp = (own.seccompProfile ?? pod.seccompProfile)?.type;
  const added = (own.capabilities?.add ?? []).filter((capability) => capability !== 'NET_BIND_SERVICE');
  const rows: readonly (readonly [isWrong: boolean, what: string])[] = [
    [own.privileged === true, 'privileged'],
    [own.allowPrivilegeEscalation !== false, 'allowPrivilegeEscalation is not false'],
    [(own.runAsNonRoot ?? pod.runAsNonRoot) !== true, 'runAsNonRoot is not true'],
    [(own.runAsUser ?? pod.runAsUser) === 0, 'runs as root'],
    [seccomp === undefined || !allowedSeccomp.has(seccomp), `seccompProfile ${seccomp ?? 'is not set'}`],
    [own.capabilities?.drop?.includes('ALL') !== true, 'does not drop ALL capabilities'],
    [added.length > 0, `adds ${added.join()}`],
    [own.procMount !== undefined && own.procMount !== 'Default', 'procMount'],
    [ports.some(({ hostPort }) => hostPort !== undefined && hostPort !== 0), 'hostPort'],
  ];
  return rows.filter(([isWrong]) => isWrong).map(([, what]) => `${name}: ${what}`);
}
