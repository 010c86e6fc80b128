/**
 * A stand-in for an API server, in memory: as much of one as the contract of `operator/kube` looks at, and no more.
 * Plain HTTP on loopback. It validates nothing, has no rights, no quotas, no defaults.
 */
import http from 'node:http';
import type net from 'node:net';
import { text } from 'node:stream/consumers';
import type { KubeAccess } from '#operator/kube/kube-access.ts';
import { applyFields, mergePatch, type FieldOwners, type Fields } from './stand-in-fields.ts';

type Kind = { readonly kind: string; readonly apiVersion: string; readonly hasStatus: boolean };
type Stored = { readonly object: StoredObject; readonly owners: FieldOwners };
type StoredObject = Fields & { readonly metadata: Fields & { readonly name: string; readonly uid: string } };
type Event = {
  readonly version: number;
  readonly collection: string;
  readonly type: string;
  readonly object: StoredObject;
  readonly old?: StoredObject;
};
type Watcher = { readonly collection: string; readonly query: URLSearchParams; readonly response: http.ServerResponse };
type Answer = { readonly status: number; readonly body: unknown };
/** `/apis/group/version/namespaces/ns/plural/name/subresource`, taken apart. */
type Place = {
  readonly collection: string;
  readonly namespace: string | null;
  readonly name: string | null;
  readonly subresource: string | null;
};

export interface StandIn extends AsyncDisposable {
  readonly access: KubeAccess;
  /** Cuts every connection and forgets what clients could go on from; keeps the objects and the port. */
  restart(): Promise<void>;
}

const builtIn: readonly (readonly [string, string, string])[] = [
  ['v1', 'namespaces', 'Namespace'],
  ['v1', 'secrets', 'Secret'],
  ['v1', 'configmaps', 'ConfigMap'],
  ['v1', 'events', 'Event'],
  ['coordination.k8s.io/v1', 'leases', 'Lease'],
  ['apiextensions.k8s.io/v1', 'customresourcedefinitions', 'CustomResourceDefinition'],
];
const placePattern =
  /^\/(?:api|apis)\/((?:[^/]+\/)?v[^/]+)(?:\/namespaces\/([^/]+)(?=\/[^/]))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/;

/** What an API server answers where it does not do what it is asked. */
class Refusal extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

class Memory {
  readonly kinds = new Map<string, Kind>();
  readonly #objects = new Map<string, Stored>();
  readonly watchers = new Set<Watcher>();
  #events: Event[] = [];
  #version = 100;

  constructor() {
    for (const [apiVersion, plural, kind] of builtIn) {
      this.kinds.set(`${apiVersion}/${plural}`, { kind, apiVersion, hasStatus: false });
    }
  }

  get version(): number {
    return this.#version;
  }

  find(place: Place): Stored {
    const stored = this.#objects.get(keyOf(place));
    if (!stored) throw new Refusal(404, 'NotFound', `${place.collection} "${place.name}" not found`);
    return stored;
  }

  has(place: Place): boolean {
    return this.#objects.has(keyOf(place));
  }

  list(place: Place, query: URLSearchParams): readonly StoredObject[] {
    const prefix = keyOf({ ...place, name: '' });
    const keys = [...this.#objects.keys()].filter((key) =>
      place.namespace === null ? key.startsWith(`${place.collection} `) : key.startsWith(prefix),
    );
    return keys
      .toSorted()
      .map((key) => (this.#objects.get(key) as Stored).object)
      .filter((object) => fits(object, query));
  }

  since(version: number, collection: string): readonly Event[] {
    return this.#events.filter((event) => event.version > version && event.collection === collection);
  }

  /** Writes what is different, with a new version; `generation` grows when more than metadata and status is. */
  put(place: Place, wanted: Fields, owners: FieldOwners): StoredObject {
    const old = this.#objects.get(keyOf(place))?.object;
    const kind = this.kinds.get(place.collection) as Kind;
    const metadata = wanted['metadata'] as Fields;
    const isSame = old !== undefined && JSON.stringify(withoutVersion(old)) === JSON.stringify(withoutVersion(wanted));
    if (isSame) {
      this.#objects.set(keyOf(place), { object: old, owners });
      return old;
    }
    this.#version += 1;
    const isNewSpec = old === undefined || JSON.stringify(old['spec']) !== JSON.stringify(wanted['spec']);
    const generation = ((old?.metadata['generation'] as number | undefined) ?? 0) + (isNewSpec ? 1 : 0);
    const object: StoredObject = {
      ...wanted,
      apiVersion: kind.apiVersion,
      kind: kind.kind,
      metadata: {
        ...metadata,
        name: place.name ?? '',
        ...(place.namespace !== null && { namespace: place.namespace }),
        uid: old?.metadata.uid ?? crypto.randomUUID(),
        creationTimestamp: old?.metadata['creationTimestamp'] ?? wholeSeconds(),
        ...(kind.hasStatus && { generation }),
        resourceVersion: `${this.#version}`,
      },
    };
    const finalizers = object.metadata['finalizers'] as readonly string[] | undefined;
    if (object.metadata['deletionTimestamp'] !== undefined && !finalizers?.length) return this.#drop(place, object);
    this.#objects.set(keyOf(place), { object, owners });
    this.#happened(place, old === undefined ? 'ADDED' : 'MODIFIED', object, old);
    return object;
  }

  remove(place: Place): StoredObject {
    const { object, owners } = this.find(place);
    const finalizers = object.metadata['finalizers'] as readonly string[] | undefined;
    if (finalizers?.length) {
      const metadata = { ...object.metadata, deletionTimestamp: wholeSeconds() };
      return this.put(place, { ...object, metadata }, owners);
    }
    this.#version += 1;
    return this.#drop(place, { ...object, metadata: { ...object.metadata, resourceVersion: `${this.#version}` } });
  }

  #drop(place: Place, object: StoredObject): StoredObject {
    this.#objects.delete(keyOf(place));
    this.#happened(place, 'DELETED', object, object);
    return object;
  }

  #happened({ collection }: Place, type: string, object: StoredObject, old: StoredObject | undefined): void {
    const event = { version: this.#version, collection, type, object, ...(old && { old }) };
    this.#events.push(event);
    for (const watcher of this.watchers) if (watcher.collection === collection) tell(watcher, event);
  }

  forgetEvents(): void {
    this.#events = this.#events.slice(-1_000);
  }
}

export async function startStandIn(): Promise<StandIn> {
  const memory = new Memory();
  const sockets = new Set<net.Socket>();
  const server = http.createServer((request, response) => {
    void answer(memory, request, response);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  const end = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    access: {
      server: `http://127.0.0.1:${port}`,
      ca: null,
      certificate: null,
      login: null,
      skipsVerification: false,
      serverName: null,
      namespace: 'default',
    },
    async restart() {
      await end();
      memory.forgetEvents();
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    },
    [Symbol.asyncDispose]: end,
  };
}

async function answer(memory: Memory, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '', 'http://stand-in');
  const body = await text(request);
  const metadataOnly = (request.headers.accept ?? '').includes('PartialObjectMetadata');
  let result: Answer;
  try {
    const place = placeOf(memory, url.pathname);
    if (url.searchParams.get('watch') === '1') {
      openWatch(memory, place, url.searchParams, response, metadataOnly);
      return;
    }
    result = answerTo(memory, place, {
      method: request.method ?? '',
      query: url.searchParams,
      body,
      type: request.headers['content-type'] ?? '',
      metadataOnly,
    });
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal(500, 'InternalError', String(error));
    result = { status: refusal.status, body: statusOf(refusal) };
  }
  response.writeHead(result.status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(result.body));
}

type Asked = {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly body: string;
  readonly type: string;
  readonly metadataOnly: boolean;
};

function answerTo(memory: Memory, place: Place, asked: Asked): Answer {
  switch (asked.method) {
    case 'GET':
      return { status: 200, body: place.name === null ? listOf(memory, place, asked) : memory.find(place).object };
    case 'POST':
      return create(memory, place, asked);
    case 'PATCH':
      return patch(memory, place, asked);
    case 'DELETE': {
      const { preconditions } = JSON.parse(asked.body) as { preconditions?: { uid?: string } };
      const { uid } = memory.find(place).object.metadata;
      if (preconditions?.uid !== undefined && preconditions.uid !== uid) throw conflict('the UID is another');
      return { status: 200, body: memory.remove(place) };
    }
    default:
      throw new Refusal(405, 'MethodNotAllowed', asked.method);
  }
}

function listOf(memory: Memory, place: Place, { query, metadataOnly }: Asked): unknown {
  const all = memory.list(place, query);
  const start = Number(query.get('continue') ?? 0);
  const end = start + Number(query.get('limit') ?? all.length);
  const items = all.slice(start, end);
  const metadata = { resourceVersion: `${memory.version}`, ...(end < all.length && { continue: `${end}` }) };
  return { kind: 'List', metadata, items: metadataOnly ? items.map(onlyMetadata) : items };
}

function create(memory: Memory, place: Place, { body, query }: Asked): Answer {
  const given = JSON.parse(body) as StoredObject;
  const at = { ...place, name: given.metadata.name };
  if (memory.has(at)) throw new Refusal(409, 'AlreadyExists', `${place.collection} "${at.name}" already exists`);
  const { owners } = applyFields({}, new Map(), query.get('fieldManager') ?? '', withoutIdentity(given), true);
  return { status: 201, body: write(memory, at, withSecretData(given), owners) };
}

function patch(memory: Memory, place: Place, { body, query, type }: Asked): Answer {
  const given = JSON.parse(body) as StoredObject;
  const kind = memory.kinds.get(place.collection) as Kind;
  const isApply = type === 'application/apply-patch+yaml';
  const stored = isApply && !memory.has(place) && place.subresource === null ? null : memory.find(place);
  const version = (given.metadata as Fields | undefined)?.['resourceVersion'];
  if (version !== undefined && version !== stored?.object.metadata['resourceVersion']) {
    throw conflict('the object has been modified');
  }
  const before: Fields = stored?.object ?? {};
  const owners: FieldOwners = stored?.owners ?? new Map();
  /** The fields that this path may write. */
  const within = (fields: Fields): Fields => {
    const { status, ...rest } = fields;
    if (place.subresource === 'status') return status === undefined ? {} : { status };
    return kind.hasStatus ? rest : fields;
  };
  if (!isApply) return { status: 200, body: write(memory, place, mergePatch(before, within(given)), owners) };
  const manager = `${query.get('fieldManager')} ${place.subresource ?? ''}`;
  const applied = applyFields(before, owners, manager, within(withoutIdentity(given)), query.get('force') === 'true');
  if (applied.conflict !== null) throw conflict(`the field ${applied.conflict} belongs to another manager`);
  return { status: stored ? 200 : 201, body: write(memory, place, applied.fields, applied.owners) };
}

function write(memory: Memory, place: Place, fields: Fields, owners: FieldOwners): StoredObject {
  const object = memory.put(place, fields, owners);
  if (object['kind'] === 'CustomResourceDefinition') {
    const { group, names, versions } = object['spec'] as {
      group: string;
      names: { plural: string; kind: string };
      versions: readonly { name: string }[];
    };
    const apiVersion = `${group}/${versions[0]?.name}`;
    memory.kinds.set(`${apiVersion}/${names.plural}`, { kind: names.kind, apiVersion, hasStatus: true });
  }
  return object;
}

function openWatch(
  memory: Memory,
  place: Place,
  query: URLSearchParams,
  response: http.ServerResponse,
  metadataOnly: boolean,
): void {
  const watcher: Watcher = { collection: place.collection, query, response };
  if (place.namespace !== null) query.set('namespace', place.namespace);
  if (metadataOnly) query.set('metadataOnly', 'true');
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  for (const event of memory.since(Number(query.get('resourceVersion')), place.collection)) tell(watcher, event);
  memory.watchers.add(watcher);
  const timer = setTimeout(
    () => {
      const object = { kind: 'Bookmark', metadata: { resourceVersion: `${memory.version}` } };
      response.end(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    },
    Number(query.get('timeoutSeconds') ?? 300) * 1000,
  );
  response.once('close', () => {
    clearTimeout(timer);
    memory.watchers.delete(watcher);
  });
}

/** What a watcher sees: an object that comes to fit its selection is added, one that fits no more is deleted. */
function tell({ query, response }: Watcher, { type, object, old }: Event): void {
  const namespace = query.get('namespace');
  if (namespace !== null && object.metadata['namespace'] !== namespace) return;
  const fitted = old !== undefined && fits(old, query);
  const isFitting = fits(object, query);
  if (!fitted && !isFitting) return;
  let seen = type;
  if (type === 'MODIFIED' && !fitted) seen = 'ADDED';
  if (type === 'MODIFIED' && !isFitting) seen = 'DELETED';
  const sent = query.get('metadataOnly') === null ? object : onlyMetadata(object);
  response.write(`${JSON.stringify({ type: seen, object: sent })}\n`);
}

function placeOf(memory: Memory, path: string): Place {
  const match = placePattern.exec(path);
  const collection = match ? `${match[1]}/${match[3]}` : path;
  if (!match || !memory.kinds.has(collection)) {
    throw new Refusal(404, 'NotFound', 'the server could not find the requested resource');
  }
  return { collection, namespace: match[2] ?? null, name: match[4] ?? null, subresource: match[5] ?? null };
}

/** Equality of labels, and of fields by their path. */
function fits(object: StoredObject, query: URLSearchParams): boolean {
  const labels = (object.metadata['labels'] ?? {}) as Fields;
  const pairs = (name: string) =>
    (query.get(name) ?? '')
      .split(',')
      .filter(Boolean)
      .map((pair) => pair.split('='));
  const field = (at: string): unknown =>
    at.split('.').reduce<unknown>((value, part) => (value as Fields | undefined)?.[part], object);
  return (
    pairs('labelSelector').every(([label = '', value]) => labels[label] === value) &&
    pairs('fieldSelector').every(([at = '', value]) => field(at) === value)
  );
}

const keyOf = ({ collection, namespace, name }: Place): string => `${collection} ${namespace ?? ''}/${name}`;

const onlyMetadata = ({ metadata }: StoredObject) => ({ kind: 'PartialObjectMetadata', metadata });

const wholeSeconds = (): string => new Date().toISOString().replace(/\.\d+Z$/, 'Z');

const conflict = (message: string): Refusal => new Refusal(409, 'Conflict', message);

const statusOf = ({ status, reason, message }: Refusal) => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  code: status,
  reason,
  message,
});

/** Fields that nobody owns: they say which object it is. */
function withoutIdentity(object: StoredObject): Fields {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = object;
  const { name: _name, namespace: _namespace, resourceVersion: _resourceVersion, ...more } = metadata;
  return Object.keys(more).length === 0 ? rest : { ...rest, metadata: more };
}

/** What tells nothing about whether an object changed. */
function withoutVersion(object: Fields): Fields {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = object;
  const { labels, annotations, finalizers, ownerReferences, deletionTimestamp } = metadata as Fields;
  return { ...rest, metadata: { labels, annotations, finalizers, ownerReferences, deletionTimestamp } };
}

function withSecretData(object: StoredObject): Fields {
  const { stringData, ...rest } = object;
  if (stringData === undefined) return rest;
  const data = Object.entries(stringData as Record<string, string>).map(([key, value]) => [key, btoa(value)]);
  return { ...rest, data: Object.fromEntries(data) as Fields };
}
