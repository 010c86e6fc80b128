/**
 * Kubernetes objects and their kinds, as the API server writes them: dates stay strings, nothing is converted.
 * `operator/kube` is the runtime of a controller; it knows no mail.
 */

export type OwnerReference = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
};

/** What objects that come from the API server have; `managedFields` is taken off those of lists and informers. */
export type ObjectMeta = {
  readonly name: string;
  /** Left out for kinds that belong to no namespace. */
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation?: number;
  /** RFC 3339, whole seconds. */
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
  readonly managedFields?: readonly unknown[];
};

export type KubeObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
};

/** Who set which field is half of an object's size, and of no use to a cache. */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields, ...metadata } = object.metadata;
  return managedFields === undefined ? object : { ...object, metadata };
}

/** Everything of an object that a reference, an owner or an Event needs. */
export type ObjectRef = {
  readonly apiVersion: string;
  readonly kind: string;
  /** Left out for kinds that belong to no namespace. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
};

/** Where an object is. */
export type ObjectName = { readonly namespace?: string; readonly name: string };

/** What is sent to create or apply an object: the server fills in the rest of its metadata. */
export type Writable<T extends KubeObject> = Omit<T, 'metadata' | 'status'> & {
  readonly metadata: Partial<ObjectMeta> & { readonly name: string };
  readonly status?: unknown;
};

/** A kind and where the API server has it. `T` is the type of its objects. */
export type ResourceType<T extends KubeObject = KubeObject> = {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly isNamespaced: boolean;
  /** Never there: carries the type of the objects. */
  readonly object?: T;
};

export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

export function refOf(object: KubeObject): ObjectRef {
  const { namespace, name, uid } = object.metadata;
  return { apiVersion: object.apiVersion, kind: object.kind, ...(namespace !== undefined && { namespace }), name, uid };
}

/** `namespace/name`, or `name` for kinds that belong to no namespace: the key of caches and queues. */
export function keyOf(at: ObjectName): string {
  return at.namespace === undefined ? at.name : `${at.namespace}/${at.name}`;
}

/** The other way round. */
export function nameOf(key: string): ObjectName {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The path of a kind's collection, in one namespace or in all. */
export function collectionPath(type: ResourceType, namespace?: string): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const within = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${within}/${type.plural}`;
}

/** The path of one object, or of a subresource of it (`status`). */
export function objectPath(type: ResourceType, at: ObjectName, subresource?: string): string {
  if (type.isNamespaced !== (at.namespace !== undefined)) {
    throw new TypeError(`${type.kind} ${at.name}: ${type.isNamespaced ? 'a' : 'no'} namespace is needed`);
  }
  const path = `${collectionPath(type, at.namespace)}/${encodeURIComponent(at.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}
