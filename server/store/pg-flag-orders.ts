/**
 * STOREs of one mailbox that wait for the account's turn, gathered until it comes: one commit for all of them. Only those
 * of different messages go together, so that each client can tell its own change from those of others.
 */
import type { AccountId, MailboxId } from '#shared/base/ids.ts';
import type { FlagsStored } from '#server/mail/ports.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { UidSet } from '#server/mail/uid-set.ts';
import { changeFlags, type FlagOrder, type FlagOutcomes } from './pg-flags.ts';
import type { MessageChange } from './pg-message-change.ts';

const maxOrders = 50;
/** Of one order; who names more waits for a turn of its own. */
const maxRanges = 20;

/** Makes the change that `begin` gives when the account's turn has come. */
type Run = (accountId: AccountId, begin: () => MessageChange<FlagOutcomes>) => Promise<FlagOutcomes>;

type Gathering = { readonly orders: FlagOrder[]; readonly outcomes: Promise<FlagOutcomes> };

export class FlagOrders {
  readonly #run: Run;
  /** What has not begun yet. */
  readonly #gathering = new Map<MailboxId, Gathering>();

  constructor(run: Run) {
    this.#run = run;
  }

  async store(accountId: AccountId, mailboxId: MailboxId, order: FlagOrder): Promise<FlagsStored> {
    let gathering = this.#gathering.get(mailboxId);
    if (gathering && mayJoin(gathering.orders, order)) gathering.orders.push(order);
    else gathering = this.#gather(accountId, mailboxId, order);
    const place = gathering.orders.length - 1;
    const outcome = (await gathering.outcomes)[place];
    if (outcome === undefined) throw new Error('an order of flags has no outcome');
    if (outcome instanceof MailError) throw outcome;
    return outcome;
  }

  #gather(accountId: AccountId, mailboxId: MailboxId, first: FlagOrder): Gathering {
    const orders = [first];
    const outcomes = this.#run(accountId, () => {
      if (this.#gathering.get(mailboxId)?.orders === orders) this.#gathering.delete(mailboxId);
      return changeFlags(mailboxId, orders);
    });
    const gathering = { orders, outcomes };
    this.#gathering.set(mailboxId, gathering);
    // Given up before its turn: nobody may join it any more.
    outcomes.catch(() => {
      if (this.#gathering.get(mailboxId) === gathering) this.#gathering.delete(mailboxId);
    });
    return gathering;
  }
}

function mayJoin(orders: readonly FlagOrder[], order: FlagOrder): boolean {
  return (
    orders.length < maxOrders &&
    order.uids.length <= maxRanges &&
    orders.every(({ uids }) => uids.length <= maxRanges && !overlap(uids, order.uids))
  );
}

function overlap(a: UidSet, b: UidSet): boolean {
  return a.some(([first, last]) => b.some(([from, to]) => first <= to && from <= last));
}
