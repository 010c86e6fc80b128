/**
 * What `/readyz` answers from. Requirements must all be met before traffic may come: listeners bound, schema
 * acceptable, database seen once. What breaks later only degrades: a Service without endpoints would turn every
 * client away at once, where a server that stays can say "try later" and go on with what still works.
 */

export type HealthReport = {
  readonly state: 'starting' | 'ready' | 'degraded' | 'stopping';
  /** True: send traffic. Holds in `ready` and `degraded`. */
  readonly isReady: boolean;
  /** Requirements that are not met, and troubles while running, each with its reason. */
  readonly reasons: readonly { readonly name: string; readonly reason: string }[];
};

export class Health {
  readonly #unmet = new Map<string, string>();
  readonly #troubles = new Map<string, string>();
  readonly #onStop: (() => void)[] = [];
  #isStopping = false;

  /** From now on not ready until `meet(name)`. */
  require(name: string, reason: string): void {
    this.#unmet.set(name, reason);
  }

  meet(name: string): void {
    this.#unmet.delete(name);
  }

  /** Something that worked does not, for now; the server stays ready. */
  degrade(name: string, reason: string): void {
    this.#troubles.set(name, reason);
  }

  recover(name: string): void {
    this.#troubles.delete(name);
  }

  /** Never ready again. */
  stop(): void {
    this.#isStopping = true;
    for (const tell of this.#onStop) tell();
  }

  /** `tell` is called when it stops. */
  onStop(tell: () => void): void {
    this.#onStop.push(tell);
  }

  report(): HealthReport {
    const reasons = [...this.#unmet, ...this.#troubles].map(([name, reason]) => ({ name, reason }));
    if (this.#isStopping) return { state: 'stopping', isReady: false, reasons };
    if (this.#unmet.size > 0) return { state: 'starting', isReady: false, reasons };
    return { state: this.#troubles.size > 0 ? 'degraded' : 'ready', isReady: true, reasons };
  }
}
