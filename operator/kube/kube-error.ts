/** What the API server refused, or that it could not be asked: one kind of error, told apart by its status. */

/** The part of a `Status` object (meta/v1) that is read. */
export type StatusBody = {
  readonly kind?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly { readonly field?: string; readonly message?: string; readonly reason?: string }[];
  };
  readonly metadata?: { readonly continue?: string };
};

export type KubeFault = {
  /** HTTP status; 0 when no whole answer came (refused, reset, deadline). */
  readonly status: number;
  /** `reason` of the Status object (`NotFound`, `AlreadyExists`, `Conflict`, …), or `Timeout`, `Unreachable`. */
  readonly reason: string;
  readonly message: string;
  /** From `Retry-After` or the Status object; null when neither says. */
  readonly retryAfterSeconds?: number | null;
  /** The fields that were refused, for 422 and `UndeclaredField`. */
  readonly causes?: readonly { readonly field: string; readonly message: string }[];
  readonly cause?: unknown;
};

export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly status: number;
  readonly reason: string;
  readonly retryAfterSeconds: number | null;
  readonly causes: readonly { readonly field: string; readonly message: string }[];

  constructor(fault: KubeFault) {
    super(fault.message, fault.cause === undefined ? undefined : { cause: fault.cause });
    this.status = fault.status;
    this.reason = fault.reason;
    this.retryAfterSeconds = fault.retryAfterSeconds ?? null;
    this.causes = fault.causes ?? [];
  }
}

const has = (error: unknown, status: number): error is KubeError =>
  error instanceof KubeError && error.status === status;

export const isNotFound = (error: unknown): error is KubeError => has(error, 404);
export const isUnauthorized = (error: unknown): error is KubeError => has(error, 401);
export const isForbidden = (error: unknown): error is KubeError => has(error, 403);
/** The `resourceVersion` is not the present one, or a field belongs to another manager. */
export const isConflict = (error: unknown): error is KubeError => has(error, 409) && error.reason === 'Conflict';
export const isAlreadyExists = (error: unknown): error is KubeError =>
  has(error, 409) && error.reason === 'AlreadyExists';
/** The object, or a field of it, is not valid (400, 422). */
export const isInvalid = (error: unknown): error is KubeError => has(error, 422) || has(error, 400);
/** An object was applied with fields that its CRD, of another version, does not declare: `causes` has them. */
export const isUndeclaredField = (error: unknown): error is KubeError =>
  has(error, 500) && error.reason === undeclaredField;
/** A version or a page that the server has forgotten: list again. */
export const isExpired = (error: unknown): error is KubeError => has(error, 410);
export const isTooManyRequests = (error: unknown): error is KubeError => has(error, 429);
/** No whole answer came: what was asked for may have happened or not. */
export const isUnreachable = (error: unknown): error is KubeError => has(error, 0);
/** A namespace that is being deleted takes no new object. */
export const isTerminatingNamespace = (error: unknown): error is KubeError =>
  has(error, 403) && error.message.includes('because it is being terminated');

/** The error that an answer of `status` means. `body` is what came, a Status object or anything else. */
export function kubeErrorOf(status: number, body: string, retryAfter: string | null, what: string): KubeError {
  const parsed = parseStatus(body);
  const message = parsed?.message ?? (body.slice(0, 200).trim() || `HTTP ${status}`);
  const undeclared = status === 500 ? undeclaredIn(message) : [];
  const causes = (parsed?.details?.causes ?? []).map((cause) => ({
    field: cause.field ?? '',
    message: cause.message ?? '',
  }));
  return new KubeError({
    status,
    reason: undeclared.length > 0 ? undeclaredField : (parsed?.reason ?? reasonOf(status)),
    message: `${what}: ${message}`,
    retryAfterSeconds: secondsOf(retryAfter) ?? parsed?.details?.retryAfterSeconds ?? null,
    causes: undeclared.length > 0 ? undeclared : causes,
  });
}

const undeclaredField = 'UndeclaredField';

/** The server says it in a sentence alone: `….status.usage: field not declared in schema`. */
function undeclaredIn(message: string): readonly { readonly field: string; readonly message: string }[] {
  return [...message.matchAll(/\.(\S+): (field not declared in schema)/g)].map(([, field = '', text = '']) => ({
    field,
    message: text,
  }));
}

/** The error that a Status object in a watch stream means. */
export function kubeErrorOfStatus(status: StatusBody, what: string): KubeError {
  const code = status.code ?? 500;
  return kubeErrorOf(code, JSON.stringify(status), null, what);
}

function parseStatus(body: string): StatusBody | null {
  if (!body.startsWith('{')) return null;
  try {
    const parsed = JSON.parse(body) as StatusBody;
    return parsed.kind === 'Status' ? parsed : null;
  } catch {
    return null; // A proxy before the server may answer with anything.
  }
}

const reasons: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  422: 'Invalid',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

const reasonOf = (status: number): string => reasons[status] ?? 'Unknown';

/** RFC 9110 section 10.2.3: `Retry-After` in seconds; the form with a date is not used by API servers. */
function secondsOf(header: string | null): number | null {
  return header !== null && /^\d{1,6}$/.test(header.trim()) ? Number(header) : null;
}
