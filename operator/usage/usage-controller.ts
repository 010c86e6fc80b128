/** Tells of Mailboxes how full they are: one query for all of them from time to time, and few writes. */
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import { ownershipNow } from '#operator/foundation/ownership.ts';
import { Controller } from '#operator/kube/controller.ts';
import { usageReport, type Usage } from './usage-report.ts';

const part = 'usage';
const key = 'all';

export class UsageController implements AsyncDisposable {
  readonly #foundation: OperatorFoundation;
  readonly #controller: Controller;

  private constructor(foundation: OperatorFoundation) {
    this.#foundation = foundation;
    const { logger, metrics, clock } = foundation;
    const reconcile = () => this.#reconcile();
    this.#controller = new Controller({ name: 'mailbox-usage', workers: 1, reconcile, logger, metrics, clock });
    this.#controller.enqueue(key);
    this.#controller.start();
  }

  static open(foundation: OperatorFoundation): UsageController {
    return new UsageController(foundation);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller.stop();
  }

  async #reconcile(): Promise<{ readonly afterMs: number }> {
    const { resources, board, clock, config } = this.#foundation;
    const usages = await this.#read();
    const isOurs = ownershipNow(this.#foundation);
    const now = clock.now();
    for (const mailbox of resources.mailboxes.items()) {
      const { uid, generation = 0 } = mailbox.metadata;
      const { status } = mailbox;
      const usage = usages.get(uid) ?? (status?.usage ? emptied : null);
      if (usage === null || !isOurs(mailbox)) continue;
      const report = usageReport({ usage, status, generation, now });
      if (report) board.report(mailbox, part, report);
    }
    return { afterMs: config.usageSeconds * 1000 };
  }

  /** By the resource's UID; of accounts in use that have mail. */
  async #read(): Promise<ReadonlyMap<string, Usage>> {
    const rows = await this.#foundation.database.db
      .selectFrom('account_state')
      .innerJoin('account', 'account.id', 'account_state.account_id')
      .select(['account.resource_uid', 'account.quota_bytes', 'account_state.used_bytes', 'account_state.messages'])
      .where('account.resource_uid', 'is not', null)
      .where('account.retained_at', 'is', null)
      .where('account_state.messages', '>', 0n)
      .execute();
    return new Map(
      rows.map(({ resource_uid: uid, quota_bytes: quotaBytes, used_bytes: usedBytes, messages }) => [
        uid ?? '',
        { usedBytes, messages: Number(messages), quotaBytes },
      ]),
    );
  }
}

const emptied: Usage = { usedBytes: 0n, messages: 0, quotaBytes: null };
