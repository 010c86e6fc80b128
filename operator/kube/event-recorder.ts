/**
 * Events of objects: what `kubectl describe` shows below them. Never needed for anything to work: they are written in
 * the background, one after the other, and dropped where there are too many.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { KubeClient } from './client.ts';
import { coreEvents, type CoreEvent } from './core-resources.ts';
import { EventFilter, type EventNote } from './event-filter.ts';
import { isAlreadyExists, isNotFound } from './kube-error.ts';
import { apiVersionOf, type ObjectRef, type Writable } from './resource.ts';

export type EventRecorderOptions = {
  readonly client: KubeClient;
  /** Who tells: `postrider-operator`. */
  readonly component: string;
  /** This process: the pod's name. */
  readonly instance: string;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
};

/** One Event object that is to be written: `times` more since `first`. */
type Pending = {
  readonly about: ObjectRef;
  readonly note: EventNote;
  readonly first: Date;
  readonly last: Date;
  readonly times: number;
};

/** What waits to be written; more is dropped. */
const maxPending = 1_000;
/** Events whose count is remembered; of others the server is asked. */
const maxKnown = 4_096;
const maxMessageBytes = 1_024;
const writeMs = 10_000;
const closeMs = 2_000;

export class EventRecorder implements AsyncDisposable {
  readonly #options: EventRecorderOptions;
  readonly #filter: EventFilter;
  readonly #pending = new Map<string, Pending>();
  /** By the Event's name: how often it was told. */
  readonly #known = new Map<string, number>();
  readonly #closing = new AbortController();
  #writing: Promise<void> | null = null;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#filter = new EventFilter(options.clock);
  }

  /**
   * Returns at once. Equal events of an object become one with a count; many that differ only in their message become
   * one with the last message; an object has 25, then one in 5 minutes.
   */
  record(about: ObjectRef, given: EventNote): void {
    const verdict = this.#filter.look(about, given);
    if (verdict === null || this.#closing.signal.aborted) {
      this.#options.metrics.events.inc({ outcome: 'suppressed' });
      return;
    }
    const note = { ...given, message: cut(verdict.message, maxMessageBytes) };
    const name = eventName(about, note, verdict.isCombined);
    const now = this.#options.clock.now();
    const before = this.#pending.get(name);
    if (before === undefined && this.#pending.size >= maxPending) {
      this.#options.metrics.events.inc({ outcome: 'suppressed' });
      return;
    }
    this.#pending.set(name, { about, note, first: before?.first ?? now, last: now, times: (before?.times ?? 0) + 1 });
    this.#writing ??= this.#writeAll();
  }

  /** Writes what waits, for at most 2 seconds. */
  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => this.#closing.abort(new Error('the event recorder is closed')), closeMs);
    await this.#writing;
    clearTimeout(timer);
    this.#closing.abort(new Error('the event recorder is closed'));
  }

  async #writeAll(): Promise<void> {
    // What is recorded in this same moment is written together.
    await Promise.resolve();
    for (let next = first(this.#pending); next !== null; next = first(this.#pending)) {
      const [name, pending] = next;
      this.#pending.delete(name);
      try {
        await this.#write(name, pending);
        this.#options.metrics.events.inc({ outcome: 'written' });
      } catch (error) {
        this.#options.metrics.events.inc({ outcome: 'failed' });
        this.#options.logger.debug({ event: 'kube.event.failed', name, reason: pending.note.reason, err: error });
      }
    }
    this.#writing = null;
  }

  async #write(name: string, pending: Pending): Promise<void> {
    const { client } = this.#options;
    const call = { signal: this.#closing.signal, deadlineMs: writeMs };
    const namespace = namespaceOf(pending.about);
    let count = this.#known.get(name);
    if (count === undefined) {
      try {
        await client.create(coreEvents, this.#eventOf(name, pending), call);
        this.#remember(name, pending.times);
        return;
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
      // An earlier process told it.
      count = (await client.get(coreEvents, { namespace, name }, call)).count;
    }
    count += pending.times;
    const patch = { count, message: pending.note.message, lastTimestamp: wholeSeconds(pending.last) };
    try {
      await client.patchMerge(coreEvents, { namespace, name }, patch, call);
      this.#remember(name, count);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // The server keeps events for an hour.
      await client.create(coreEvents, this.#eventOf(name, pending), call);
      this.#remember(name, pending.times);
    }
  }

  #remember(name: string, count: number): void {
    this.#known.delete(name);
    this.#known.set(name, count);
    if (this.#known.size > maxKnown) this.#known.delete(this.#known.keys().next().value ?? '');
  }

  #eventOf(name: string, { about, note, first, last, times }: Pending): Writable<CoreEvent> {
    const { component, instance } = this.#options;
    const { apiVersion, kind, namespace, uid } = about;
    return {
      apiVersion: apiVersionOf(coreEvents),
      kind: coreEvents.kind,
      metadata: { namespace: namespaceOf(about), name },
      involvedObject: { apiVersion, kind, ...(namespace !== undefined && { namespace }), name: about.name, uid },
      ...note,
      count: times,
      firstTimestamp: wholeSeconds(first),
      lastTimestamp: wholeSeconds(last),
      source: { component },
      reportingComponent: component,
      reportingInstance: instance,
    };
  }
}

/** Events of kinds that belong to no namespace are kept in `default`. */
const namespaceOf = (about: ObjectRef): string => about.namespace ?? 'default';

/** The same for the same event, whichever process tells it. */
function eventName(about: ObjectRef, note: EventNote, isCombined: boolean): string {
  const facts = [about.uid, note.type, note.reason, isCombined ? '' : note.message];
  const digest = createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 16);
  return `${about.name.slice(0, 200)}.${digest}`;
}

/** RFC 3339 without fractions, as `Time` of meta/v1 is written. */
const wholeSeconds = (date: Date): string => date.toISOString().replace(/\.\d+Z$/, 'Z');

function cut(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  // A character that was cut in two becomes U+FFFD, which is taken off.
  return `${Buffer.from(text)
    .subarray(0, maxBytes - 3)
    .toString('utf8')
    .replace(/\uFFFD$/, '')}…`;
}

function first<V>(map: ReadonlyMap<string, V>): readonly [string, V] | null {
  const next = map.entries().next();
  return next.done ? null : next.value;
}
