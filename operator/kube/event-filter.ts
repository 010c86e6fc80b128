/** Which events of an object are told, so that one that fails in a loop does not fill the API server. */
import type { Clock } from '#shared/base/clock.ts';
import type { ObjectRef } from './resource.ts';

export type EventNote = {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase. */
  readonly reason: string;
  /** At most 1024 bytes; cut. */
  readonly message: string;
};

const burst = 25;
const refillMs = 300_000;
/** Different messages of one reason, within so long, after which they are told as one. */
const maxMessages = 10;
const messagesMs = 600_000;
/** Objects that are remembered, and the messages of one; the oldest are forgotten. */
const maxObjects = 4_096;

type Reasons = Map<string, { since: number; readonly messages: Set<string> }>;
type Told = { tokens: number; filledAt: number; readonly reasons: Reasons };

export class EventFilter {
  readonly #clock: Clock;
  readonly #objects = new Map<string, Told>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Null: not told. `isCombined`: one event for all messages of this reason. */
  look(about: ObjectRef, note: EventNote): { readonly message: string; readonly isCombined: boolean } | null {
    const now = this.#clock.monotonicMs();
    const told = this.#objects.get(about.uid) ?? { tokens: burst, filledAt: now, reasons: new Map() };
    this.#objects.delete(about.uid);
    this.#objects.set(about.uid, told);
    if (this.#objects.size > maxObjects) this.#objects.delete(this.#objects.keys().next().value ?? '');

    told.tokens = Math.min(burst, told.tokens + (now - told.filledAt) / refillMs);
    told.filledAt = now;
    if (told.tokens < 1) return null;
    told.tokens -= 1;
    const isCombined = hasManyMessages(told.reasons, note, now);
    return { message: isCombined ? `(combined from similar events) ${note.message}` : note.message, isCombined };
  }
}

function hasManyMessages(reasons: Reasons, note: EventNote, now: number): boolean {
  const key = `${note.type} ${note.reason}`;
  let told = reasons.get(key);
  if (told === undefined || now - told.since > messagesMs) {
    told = { since: now, messages: new Set() };
    reasons.set(key, told);
  }
  if (told.messages.has(note.message)) return false;
  if (told.messages.size >= maxMessages) return true;
  told.messages.add(note.message);
  return false;
}
