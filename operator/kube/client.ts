/**
 * What a controller asks of the API server. One implementation speaks HTTP (http-client.ts); it is the same before a
 * real server and before the stand-in of tests. Every call has a deadline, is tried again where that is safe, and
 * fails with a `KubeError`.
 */
import type { KubeObject, ObjectName, ResourceType, Writable } from './resource.ts';

/** Which objects: the server filters. */
export type Selection = {
  /** All namespaces when left out. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Objects come with their metadata only (`PartialObjectMetadata`), under the kind's own name. */
  readonly metadataOnly?: boolean;
};

export type CallOptions = {
  readonly signal?: AbortSignal;
  /** For the whole call with its retries, in milliseconds; 60,000 when left out. */
  readonly deadlineMs?: number;
};

export type ApplyOptions = CallOptions & {
  /** Who owns the fields; the client's own name when left out. */
  readonly fieldManager?: string;
  /** Takes over fields of other managers; true when left out. Without it such a field is a conflict (409). */
  readonly force?: boolean;
};

export type MergePatchOptions = CallOptions & {
  readonly subresource?: string;
  /** Refused with a conflict (409) if the object is not at this version any more. */
  readonly resourceVersion?: string;
};

export type DeleteOptions = CallOptions & {
  /** Refused with a conflict (409) if another object has the name by now. */
  readonly uid?: string;
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan';
};

export type WatchOptions = Selection & {
  /** Events after this version. */
  readonly resourceVersion: string;
  /** The server ends the watch after so long. */
  readonly timeoutSeconds?: number;
  /** Fails when nothing was heard (not even a bookmark) for so long; 90,000 when left out. */
  readonly idleMs?: number;
  readonly signal?: AbortSignal;
};

export type WatchEvent<T extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

export type ObjectList<T extends KubeObject> = { readonly items: readonly T[]; readonly resourceVersion: string };

export interface KubeClient extends AsyncDisposable {
  /** The API server, for logs: `host:port`. */
  readonly host: string;
  get<T extends KubeObject>(type: ResourceType<T>, at: ObjectName, options?: CallOptions): Promise<T>;
  /** All of it, read in pages of 500. */
  list<T extends KubeObject>(
    type: ResourceType<T>,
    selection?: Selection,
    options?: CallOptions,
  ): Promise<ObjectList<T>>;
  /** Not tried again when it may have happened: the caller looks. */
  create<T extends KubeObject>(type: ResourceType<T>, object: Writable<T>, options?: CallOptions): Promise<T>;
  /** Server-side apply: makes or changes the object so that the fields given are as they are here. */
  apply<T extends KubeObject>(type: ResourceType<T>, object: Writable<T>, options?: ApplyOptions): Promise<T>;
  /** Server-side apply on the status subresource; `object` has `apiVersion`, `kind`, `metadata` and `status`. */
  applyStatus<T extends KubeObject>(type: ResourceType<T>, object: Writable<T>, options?: ApplyOptions): Promise<T>;
  /** JSON merge patch (RFC 7396). */
  patchMerge<T extends KubeObject>(
    type: ResourceType<T>,
    at: ObjectName,
    patch: Readonly<Record<string, unknown>>,
    options?: MergePatchOptions,
  ): Promise<T>;
  /** Whether it was there. */
  delete(type: ResourceType, at: ObjectName, options?: DeleteOptions): Promise<boolean>;
  /** Ends when the server ends it; throws a KubeError where it breaks, 410 for a version that is too old. */
  watch<T extends KubeObject>(type: ResourceType<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  /** A path as it is (`/readyz`, `/version`): its text. */
  getText(path: string, options?: CallOptions): Promise<string>;
}
