/** The objects of one kind, by name, by uid and by indexes: what an informer keeps. */
import { keyOf, type KubeObject } from './resource.ts';

export type Change<T extends KubeObject> =
  | { readonly kind: 'added'; readonly object: T }
  | { readonly kind: 'changed'; readonly object: T; readonly old: T }
  /** `isInferred`: nobody saw the deletion; a new list lacks the object. */
  | { readonly kind: 'deleted'; readonly object: T; readonly isInferred?: true };

/** Objects by a key of the caller's choice. */
export interface ObjectIndex<T extends KubeObject> {
  get(key: string): readonly T[];
}

export class ObjectStore<T extends KubeObject> {
  readonly #byKey = new Map<string, T>();
  readonly #byUid = new Map<string, T>();
  readonly #indexes: KeyIndex<T>[] = [];
  #items: readonly T[] | null = null;

  get size(): number {
    return this.#byKey.size;
  }

  /** The array is not changed afterwards. */
  items(): readonly T[] {
    this.#items ??= [...this.#byKey.values()];
    return this.#items;
  }

  get(key: string): T | undefined {
    return this.#byKey.get(key);
  }

  byUid(uid: string): T | undefined {
    return this.#byUid.get(uid);
  }

  index(keysOf: (object: T) => readonly string[]): ObjectIndex<T> {
    const index = new KeyIndex(keysOf);
    for (const object of this.#byKey.values()) index.add(object);
    this.#indexes.push(index);
    return index;
  }

  /** What is different now: nothing for a version that is there already; two changes where another object took the name. */
  put(object: T): readonly Change<T>[] {
    const old = this.#byKey.get(keyOf(object.metadata));
    if (old === undefined) {
      this.#add(object);
      return [{ kind: 'added', object }];
    }
    if (old.metadata.uid !== object.metadata.uid) return [...this.remove(old), ...this.put(object)];
    if (old.metadata.resourceVersion === object.metadata.resourceVersion) return [];
    this.#drop(old);
    this.#add(object);
    return [{ kind: 'changed', object, old }];
  }

  /** `object` as it was last: the cache may not have had that version. */
  remove(object: T): readonly Change<T>[] {
    const old = this.#byKey.get(keyOf(object.metadata));
    if (old === undefined || old.metadata.uid !== object.metadata.uid) return [];
    this.#drop(old);
    return [{ kind: 'deleted', object }];
  }

  /** Makes it hold exactly `objects`. */
  *replace(objects: readonly T[]): Iterable<readonly Change<T>[]> {
    const uids = new Set(objects.map((object) => object.metadata.uid));
    for (const old of this.items()) {
      if (uids.has(old.metadata.uid)) continue;
      this.#drop(old);
      yield [{ kind: 'deleted', object: old, isInferred: true }];
    }
    for (const object of objects) yield this.put(object);
  }

  #add(object: T): void {
    this.#items = null;
    this.#byKey.set(keyOf(object.metadata), object);
    this.#byUid.set(object.metadata.uid, object);
    for (const index of this.#indexes) index.add(object);
  }

  #drop(object: T): void {
    this.#items = null;
    this.#byKey.delete(keyOf(object.metadata));
    this.#byUid.delete(object.metadata.uid);
    for (const index of this.#indexes) index.drop(object);
  }
}

class KeyIndex<T extends KubeObject> implements ObjectIndex<T> {
  readonly #keysOf: (object: T) => readonly string[];
  readonly #objects = new Map<string, Set<T>>();

  constructor(keysOf: (object: T) => readonly string[]) {
    this.#keysOf = keysOf;
  }

  get(key: string): readonly T[] {
    return [...(this.#objects.get(key) ?? [])];
  }

  add(object: T): void {
    for (const key of this.#keysOf(object)) {
      const objects = this.#objects.get(key);
      if (objects) objects.add(object);
      else this.#objects.set(key, new Set([object]));
    }
  }

  drop(object: T): void {
    for (const key of this.#keysOf(object)) {
      const objects = this.#objects.get(key);
      objects?.delete(object);
      if (objects?.size === 0) this.#objects.delete(key);
    }
  }
}
