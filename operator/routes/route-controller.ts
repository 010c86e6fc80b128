/** Tells of MailRoutes what servers found when they tried the routes' targets: the operator itself sends no mail. */
import { z } from 'zod';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import { Controller } from '#operator/kube/controller.ts';
import { findCondition } from '#operator/status/condition.ts';
import { reachableCondition, targetStatuses, type FoundTarget } from './reachable-condition.ts';

const part = 'probe';
const key = 'all';
const everyMs = 5_000;

const foundTargets = z.array(
  z.object({
    target: z.string(),
    state: z.enum(['Reachable', 'Unreachable', 'NotProbed']),
    reason: z.string(),
    message: z.string(),
    latencyMs: z.int().nullable(),
  }),
);

type Found = { readonly targets: readonly FoundTarget[]; readonly probedAt: Date };

export class RouteController implements AsyncDisposable {
  readonly #foundation: OperatorFoundation;
  readonly #controller: Controller;

  private constructor(foundation: OperatorFoundation) {
    this.#foundation = foundation;
    const { logger, metrics, clock } = foundation;
    const reconcile = () => this.#reconcile();
    this.#controller = new Controller({ name: 'mailroute-probes', workers: 1, reconcile, logger, metrics, clock });
    this.#controller.enqueue(key);
    this.#controller.start();
  }

  static open(foundation: OperatorFoundation): RouteController {
    return new RouteController(foundation);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller.stop();
  }

  async #reconcile(): Promise<{ readonly afterMs: number }> {
    const { resources, board } = this.#foundation;
    const routes = resources.routes.items();
    if (routes.length === 0) return { afterMs: everyMs };
    const found = await this.#read();
    for (const route of routes) {
      const probe = found.get(route.metadata.uid);
      const generation = route.metadata.generation ?? 0;
      // Until its row follows the resource, what was tried was an older one.
      if (!probe || findCondition(route.status, 'Synced')?.observedGeneration !== generation) continue;
      board.report(route, part, {
        generation,
        conditions: [reachableCondition(probe.targets)],
        fields: { targets: targetStatuses(probe.targets, probe.probedAt) },
      });
    }
    return { afterMs: everyMs };
  }

  /** By the resource's UID: only of routes as they are now. */
  async #read(): Promise<ReadonlyMap<string, Found>> {
    const rows = await this.#foundation.database.db
      .selectFrom('mail_route_probe as p')
      .innerJoin('mail_route as r', 'r.resource_uid', 'p.resource_uid')
      .select(['p.resource_uid', 'p.targets', 'p.probed_at'])
      .whereRef('p.spec_hash', '=', 'r.spec_hash')
      .whereRef('p.secret_tag', '=', 'r.secret_tag')
      .where('p.probed_at', 'is not', null)
      .execute();
    return new Map(
      rows.flatMap(({ resource_uid: uid, targets, probed_at: probedAt }) => {
        const parsed = foundTargets.safeParse(targets);
        return parsed.success && probedAt ? [[uid, { targets: parsed.data, probedAt }] as const] : [];
      }),
    );
  }
}
