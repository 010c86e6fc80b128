import { watch } from 'node:fs';
import process from 'node:process';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { Reconciler } from './reconcile.ts';
import type { ReconcilerOptions } from './reconcile.ts';
import type { ManifestSummary } from './summary.ts';

/** After the last of several changes: editors and `git checkout` make many at once. */
const settleMs = 300;
/** For what no event tells: rows changed by hand, accounts whose grace period is over, folders that can't be watched. */
const sweepMs = 10 * 60_000;
const retryMs = 30_000;

/** The directory follows the manifests until this is disposed of. */
export interface FollowedManifests extends AsyncDisposable {
  /** Of the first run. */
  readonly summary: ManifestSummary;
}

/**
 * Reconciles, and then again at each change of the folders, at SIGHUP and from time to time. The first run throws
 * (ProgramFault 78 for bad manifests); what goes wrong later is logged, and the directory stays as it is.
 */
export async function followManifests(options: ReconcilerOptions): Promise<FollowedManifests> {
  const reconciler = new Reconciler(options);
  const summary = await reconciler.reconcile();
  const follower = new Follower(reconciler, options);
  return { summary, [Symbol.asyncDispose]: () => follower[Symbol.asyncDispose]() };
}

class Follower implements AsyncDisposable {
  readonly #reconciler: Reconciler;
  readonly #options: ReconcilerOptions;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout;
  /** Since the last run began; the timer stands for it. */
  #isChanged = false;
  #running: Promise<void> = Promise.resolve();

  constructor(reconciler: Reconciler, options: ReconcilerOptions) {
    this.#reconciler = reconciler;
    this.#options = options;
    this.#timer = this.#in(sweepMs);
    for (const folder of [options.manifestsFolder, options.secretsFolder]) this.#watch(folder);
    process.on('SIGHUP', this.#soon);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('SIGHUP', this.#soon);
    this.#stop.abort();
    clearTimeout(this.#timer);
    await this.#running;
  }

  readonly #soon = (): void => {
    if (this.#stop.signal.aborted) return;
    this.#isChanged = true;
    clearTimeout(this.#timer);
    this.#timer = this.#in(settleMs);
  };

  #in(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      // One after the other: a change during a run is looked at after it.
      this.#running = this.#running.then(() => this.#run());
    }, ms).unref();
  }

  #watch(folder: string): void {
    const { logger } = this.#options;
    const lost = (error: unknown): void => {
      const event = 'manifest.watch-lost';
      logger.warn({ event, folder, err: error }, 'changes are seen at SIGHUP and every ten minutes only');
    };
    try {
      watch(folder, { persistent: false, signal: this.#stop.signal }, this.#soon).on('error', lost);
    } catch (error) {
      lost(error);
    }
  }

  async #run(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#isChanged = false;
    const { logger } = this.#options;
    let next = sweepMs;
    try {
      const { changes } = await this.#reconciler.reconcile();
      if (changes > 0) logger.info({ event: 'manifest.reconciled', changes }, 'the directory follows the manifests');
    } catch (error) {
      if (error instanceof ProgramFault) {
        logger.error({ event: 'manifest.refused' }, `${error.message}\n${error.hint}`);
      } else {
        logger.error({ event: 'manifest.failed', err: error }, 'manifests could not be applied; trying again');
        next = retryMs;
      }
    }
    if (this.#stop.signal.aborted || this.#isChanged) return;
    this.#timer = this.#in(next);
  }
}
