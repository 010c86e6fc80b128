import { openDomainControllers } from './domain/domain-controllers.ts';
import type { OperatorFoundation } from './foundation/operator-foundation.ts';
import { RouteController } from './routes/route-controller.ts';
import { ServerController } from './server/server-controller.ts';
import { UsageController } from './usage/usage-controller.ts';

/** What the leader runs beside the directory; closed with `stack`. */
export async function openParts(foundation: OperatorFoundation, stack: AsyncDisposableStack): Promise<void> {
  stack.use(ServerController.open(foundation));
  stack.use(RouteController.open(foundation));
  stack.use(UsageController.open(foundation));
  stack.use(await openDomainControllers(foundation));
}
