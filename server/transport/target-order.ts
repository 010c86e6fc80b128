import type { RouteTarget } from '#server/mail/outbound-routes.ts';

/** By priority; within one in a random order in which heavier targets come first as often as their weight says. */
export function orderTargets(targets: readonly RouteTarget[], random: () => number): readonly RouteTarget[] {
  // Efraimidis and Spirakis: u^(1/weight), descending, is a weighted shuffle.
  const keyed = targets.map((target) => ({ target, key: random() ** (1 / target.weight) }));
  return keyed.toSorted((a, b) => a.target.priority - b.target.priority || b.key - a.key).map(({ target }) => target);
}

/** Under which name a target's failures are remembered. */
export function targetName(route: string, target: RouteTarget): string {
  switch (target.kind) {
    case 'smarthost':
    case 'lmtp':
      return `${route} ${target.kind} ${target.host}:${target.port}`;
    case 'http':
      return `${route} http ${target.url}`;
    case 'direct':
    case 'capture':
      return `${route} ${target.kind}`;
    default:
      return target satisfies never;
  }
}
