/** The KubeClient that speaks HTTP. */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { setTimeout as delay } from 'node:timers/promises';
import { Authorization } from './authorization.ts';
import type {
  ApplyOptions,
  CallOptions,
  DeleteOptions,
  KubeClient,
  MergePatchOptions,
  ObjectList,
  Selection,
  WatchEvent,
  WatchOptions,
} from './client.ts';
import { HttpTransport, type HttpAnswer, type HttpRequest } from './http-transport.ts';
import type { KubeAccess } from './kube-access.ts';
import { isExpired, isNotFound, isUnauthorized, KubeError, kubeErrorOf } from './kube-error.ts';
import { RateLimiter } from './rate-limiter.ts';
import { apiVersionOf, collectionPath, objectPath, withoutManagedFields } from './resource.ts';
import type { KubeObject, ObjectName, ResourceType, Writable } from './resource.ts';
import { RetryBudget, retryAfter, type RetrySafety } from './retry.ts';
import { watchEvents } from './watch-stream.ts';

export type HttpClientOptions = {
  readonly access: KubeAccess;
  /** Field manager and User-Agent: `postrider-operator`. */
  readonly name: string;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
  /** Connections besides those of watches; 8. */
  readonly connections?: number;
  /** Requests a second, and how many at once after a rest; 400 and 800. */
  readonly rate?: { readonly perSecond: number; readonly burst: number };
  /** Objects of one page of a list; 500. */
  readonly pageSize?: number;
};

const defaultDeadlineMs = 60_000;
/** Of one attempt; the rest of the deadline is for the next. */
const attemptMs = 20_000;
const defaultIdleMs = 90_000;

type Call = {
  readonly method: HttpRequest['method'];
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: { readonly type: string; readonly value: unknown };
  readonly accept?: string;
  readonly safety: RetrySafety;
  readonly options: CallOptions | undefined;
};

type RawList<T> = {
  readonly items: readonly T[] | null;
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
};

export function createKubeClient(options: HttpClientOptions): KubeClient {
  return new HttpKubeClient(options);
}

class HttpKubeClient implements KubeClient {
  readonly host: string;
  readonly #name: string;
  readonly #transport: HttpTransport;
  readonly #authorization: Authorization;
  readonly #limiter: RateLimiter;
  readonly #budget = new RetryBudget();
  readonly #metrics: KubeMetrics;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #pageSize: number;

  constructor(options: HttpClientOptions) {
    const { access, name, logger, metrics, clock, rate = { perSecond: 400, burst: 800 } } = options;
    this.#name = name;
    this.#logger = logger;
    this.#metrics = metrics;
    this.#clock = clock;
    this.#pageSize = options.pageSize ?? 500;
    this.#transport = new HttpTransport(access, options.connections ?? 8);
    this.#authorization = new Authorization(access.login, clock);
    this.#limiter = new RateLimiter(rate.perSecond, rate.burst, clock);
    this.host = this.#transport.host;
  }

  async get<T extends KubeObject>(type: ResourceType<T>, at: ObjectName, options?: CallOptions): Promise<T> {
    return await this.#json<T>({ method: 'GET', path: objectPath(type, at), safety: 'always', options });
  }

  async list<T extends KubeObject>(
    type: ResourceType<T>,
    selection: Selection = {},
    options?: CallOptions,
  ): Promise<ObjectList<T>> {
    try {
      return await this.#listPages(type, selection, this.#pageSize, options);
    } catch (error) {
      if (!isExpired(error)) throw error;
      // The pages after the first are of a version that the server keeps for some minutes only: all at once then.
      return await this.#listPages(type, selection, null, options);
    }
  }

  async #listPages<T extends KubeObject>(
    type: ResourceType<T>,
    selection: Selection,
    pageSize: number | null,
    options: CallOptions | undefined,
  ): Promise<ObjectList<T>> {
    const identity = { apiVersion: apiVersionOf(type), kind: type.kind };
    const items: T[] = [];
    let from: string | undefined;
    for (;;) {
      const page: RawList<T> = await this.#json({
        method: 'GET',
        path: collectionPath(type, selection.namespace),
        query: { ...selectors(selection), limit: pageSize?.toString(), continue: from },
        ...(selection.metadataOnly && { accept: acceptMetadata('PartialObjectMetadataList') }),
        safety: 'always',
        options,
      });
      // Items of a list of a built-in kind do not say what they are. Ten thousand are held until the last page is there.
      for (const item of page.items ?? []) items.push(withoutManagedFields({ ...item, ...identity }));
      from = page.metadata.continue;
      if (!from) return { items, resourceVersion: page.metadata.resourceVersion };
    }
  }

  async create<T extends KubeObject>(type: ResourceType<T>, object: Writable<T>, options?: CallOptions): Promise<T> {
    return await this.#json<T>({
      method: 'POST',
      path: collectionPath(type, object.metadata.namespace),
      query: { fieldManager: this.#name },
      body: { type: 'application/json', value: object },
      safety: 'unprocessed',
      options,
    });
  }

  async apply<T extends KubeObject>(type: ResourceType<T>, object: Writable<T>, options?: ApplyOptions): Promise<T> {
    return await this.#apply(type, object, undefined, options);
  }

  async applyStatus<T extends KubeObject>(
    type: ResourceType<T>,
    object: Writable<T>,
    options?: ApplyOptions,
  ): Promise<T> {
    return await this.#apply(type, object, 'status', options);
  }

  async #apply<T extends KubeObject>(
    type: ResourceType<T>,
    object: Writable<T>,
    subresource: string | undefined,
    options: ApplyOptions = {},
  ): Promise<T> {
    return await this.#json<T>({
      method: 'PATCH',
      path: objectPath(type, nameIn(object), subresource),
      query: { fieldManager: options.fieldManager ?? this.#name, force: `${options.force ?? true}` },
      body: { type: 'application/apply-patch+yaml', value: object },
      safety: 'always',
      options,
    });
  }

  async patchMerge<T extends KubeObject>(
    type: ResourceType<T>,
    at: ObjectName,
    patch: Readonly<Record<string, unknown>>,
    options: MergePatchOptions = {},
  ): Promise<T> {
    const { subresource, resourceVersion } = options;
    const metadata = { ...(patch['metadata'] as object | undefined), resourceVersion };
    return await this.#json<T>({
      method: 'PATCH',
      path: objectPath(type, at, subresource),
      query: { fieldManager: this.#name },
      body: {
        type: 'application/merge-patch+json',
        value: resourceVersion === undefined ? patch : { ...patch, metadata },
      },
      safety: 'always',
      options,
    });
  }

  async delete(type: ResourceType, at: ObjectName, options: DeleteOptions = {}): Promise<boolean> {
    const { uid, propagation } = options;
    const value = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      ...(uid !== undefined && { preconditions: { uid } }),
      ...(propagation !== undefined && { propagationPolicy: propagation }),
    };
    try {
      await this.#call({
        method: 'DELETE',
        path: objectPath(type, at),
        body: { type: 'application/json', value },
        safety: 'always',
        options,
      });
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async getText(path: string, options?: CallOptions): Promise<string> {
    return (await this.#call({ method: 'GET', path, safety: 'always', options })).body;
  }

  async *watch<T extends KubeObject>(type: ResourceType<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    const { namespace, resourceVersion, timeoutSeconds, idleMs = defaultIdleMs, metadataOnly, signal } = options;
    const query = {
      ...selectors(options),
      watch: '1',
      allowWatchBookmarks: 'true',
      resourceVersion,
      timeoutSeconds: timeoutSeconds?.toString(),
    };
    const path = withQuery(collectionPath(type, namespace), query);
    const what = `watch ${type.plural}`;
    const accept = metadataOnly ? acceptMetadata('PartialObjectMetadata') : undefined;
    const request = await this.#requestOf({ method: 'GET', path, headers: {}, ...(signal && { signal }) }, accept);
    const body = await this.#openWatch(request, what, Math.min(attemptMs, idleMs));
    const identity = { apiVersion: apiVersionOf(type), kind: type.kind };
    for await (const event of watchEvents(body, { idleMs, what, ...(signal && { signal }) })) {
      const object = event.object as T;
      switch (event.type) {
        case 'ADDED':
        case 'MODIFIED':
        case 'DELETED':
          yield { type: event.type, object: { ...object, ...identity } };
          break;
        case 'BOOKMARK':
          yield { type: event.type, resourceVersion: object.metadata.resourceVersion };
          break;
        default: // A type of event that came after this was written.
          break;
      }
    }
  }

  async #openWatch(request: HttpRequest, what: string, withinMs: number): Promise<IncomingMessage> {
    try {
      const answer = await this.#transport.open(request, withinMs);
      if (!('status' in answer)) {
        this.#count(request, '200');
        return answer;
      }
      this.#count(request, `${answer.status}`);
      const error = kubeErrorOf(answer.status, answer.body, headerOf(answer.headers['retry-after']), what);
      if (isUnauthorized(error)) this.#authorization.forget();
      throw error;
    } catch (error) {
      if (error instanceof KubeError && error.status === 0) this.#count(request, '<error>');
      throw error;
    }
  }

  async #json<T>(call: Call): Promise<T> {
    const { body } = await this.#call(call);
    try {
      return JSON.parse(body) as T;
    } catch (cause) {
      const message = `${call.method} ${call.path}: an answer that is no JSON`;
      throw new KubeError({ status: 0, reason: 'Unreachable', message, cause });
    }
  }

  /** A 2xx answer, after as many attempts as its deadline and the error allow. */
  async #call(call: Call): Promise<HttpAnswer> {
    const { signal, deadlineMs = defaultDeadlineMs } = call.options ?? {};
    const endsAt = this.#clock.monotonicMs() + deadlineMs;
    let hasLoggedInAgain = false;
    this.#budget.earn();
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      try {
        return await this.#attempt(call, Math.min(attemptMs, endsAt - this.#clock.monotonicMs()));
      } catch (error) {
        if (isUnauthorized(error) && !hasLoggedInAgain && this.#authorization.forget()) {
          hasLoggedInAgain = true;
          continue;
        }
        const waitMs = retryAfter(error, attempt, call.safety, this.#budget);
        if (waitMs === null || this.#clock.monotonicMs() + waitMs >= endsAt) throw error;
        this.#countRetry(call, error);
        await delay(waitMs, undefined, signal ? { signal } : {});
      }
    }
  }

  async #attempt(call: Call, withinMs: number): Promise<HttpAnswer> {
    const { method, body, accept, options } = call;
    const startedAt = this.#clock.monotonicMs();
    await this.#limiter.turn(options?.signal);
    const turnAt = this.#clock.monotonicMs();
    this.#metrics.rateLimiterSeconds.observe({ verb: method, host: this.host }, (turnAt - startedAt) / 1000);
    const request = await this.#requestOf(
      {
        method,
        path: withQuery(call.path, call.query ?? {}),
        headers: body ? { 'Content-Type': body.type } : {},
        ...(body && { body: JSON.stringify(body.value) }),
        ...(options?.signal && { signal: options.signal }),
      },
      accept,
    );
    let answer: HttpAnswer;
    try {
      answer = await this.#transport.exchange(request, Math.max(1, withinMs));
    } catch (error) {
      this.#count(request, '<error>');
      throw error;
    }
    this.#count(request, `${answer.status}`);
    const seconds = (this.#clock.monotonicMs() - turnAt) / 1000;
    this.#metrics.requestSeconds.observe({ verb: method, host: this.host }, seconds);
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw kubeErrorOf(answer.status, answer.body, headerOf(answer.headers['retry-after']), `${method} ${call.path}`);
  }

  async #requestOf(request: HttpRequest, accept = 'application/json'): Promise<HttpRequest> {
    const authorization = await this.#authorization.header();
    const headers = {
      Accept: accept,
      'User-Agent': this.#name,
      ...(authorization !== null && { Authorization: authorization }),
      ...request.headers,
    };
    return { ...request, headers };
  }

  #count(request: HttpRequest, code: string): void {
    this.#metrics.requests.inc({ code, method: request.method, host: this.host });
  }

  #countRetry(call: Call, error: unknown): void {
    const code = error instanceof KubeError && error.status > 0 ? `${error.status}` : '<error>';
    this.#metrics.requestRetries.inc({ code, verb: call.method, host: this.host });
    this.#logger.debug({ event: 'kube.retry', method: call.method, path: call.path, err: error });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#transport.close();
  }
}

const acceptMetadata = (kind: string): string => `application/json;as=${kind};g=meta.k8s.io;v=v1`;

const selectors = ({ labelSelector, fieldSelector }: Selection) => ({ labelSelector, fieldSelector });

function nameIn(object: { readonly metadata: { readonly name: string; readonly namespace?: string } }): ObjectName {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? { name } : { namespace, name };
}

function withQuery(path: string, query: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given).toString()}`;
}

const headerOf = (value: string | undefined): string | null => value ?? null;
