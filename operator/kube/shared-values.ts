/**
 * What objects of a kind have in common, once instead of in each of them: of ten thousand statuses most say the same in
 * the same second, and most specs have the same defaults.
 */
import type { KubeObject } from './resource.ts';

/** Values that are remembered; when there are more, all are forgotten, which costs nothing but memory. */
const mostKnown = 1_000;

type Fields = Record<string, unknown>;

export class SharedValues {
  readonly #known = new Map<string, unknown>();

  /** The object itself, which nobody else has yet. Values of Secrets are left alone. */
  share<T extends KubeObject>(object: T): T {
    const { metadata, spec, status } = object as unknown as { metadata: Fields; spec?: unknown; status?: unknown };
    if (metadata['labels'] !== undefined) metadata['labels'] = this.#shared(metadata['labels']);
    metadata['creationTimestamp'] = this.#shared(metadata['creationTimestamp']);
    if (isFields(spec)) this.#shareFields(spec);
    if (isFields(status)) this.#shareFields(status);
    return object;
  }

  #shareFields(fields: Fields): void {
    for (const [name, value] of Object.entries(fields)) {
      if (name === 'conditions' && Array.isArray(value)) fields[name] = value.map((each) => this.#shared(each));
      else if (typeof value === 'object' && value !== null) fields[name] = this.#shared(value);
    }
  }

  #shared(value: unknown): unknown {
    const key = JSON.stringify(value);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.#known.size >= mostKnown) this.#known.clear();
    this.#known.set(key, value);
    return value;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
