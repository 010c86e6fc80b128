/**
 * What never reaches a log. Everything the logger writes passes through here, once: values under a secret's
 * name are replaced whole, and strings are searched for the forms in which secrets travel.
 */

const mask = '[redacted]';

/** Compared without case, `-` and `_`: `authBlob`, `auth_blob` and `AUTH-BLOB` are one name. */
const secretNames = [
  'auth',
  'authblob',
  'authorization',
  'cookie',
  'credentials',
  'keyring',
  'line',
  'packet',
  'raw',
  'salt',
  'serverkey',
  'storedkey',
  'verifier',
] as const;

/** Names that end in one of these, such as `smtpPassword`, are secret too. */
const secretEndings = ['pass', 'passphrase', 'password', 'privatekey', 'secret', 'token'] as const;

type Pattern = { readonly pattern: RegExp; readonly replacement: string };

const patterns: readonly Pattern[] = [
  // The password of a URL: postgres://user:password@host/
  { pattern: /([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/@]+@/gi, replacement: `$1:${mask}@` },
  // SMTP and IMAP: AUTH PLAIN blob, AUTHENTICATE PLAIN blob (RFC 4954 section 4, RFC 4959 section 3)
  { pattern: /\b(AUTH(?:ENTICATE)?\s+[A-Z0-9-]+)\s+[A-Z0-9+/=]+/gi, replacement: `$1 ${mask}` },
  // IMAP: tag LOGIN user password (RFC 3501 section 6.2.3), each an atom or a quoted string
  { pattern: /\b(LOGIN)\s+("(?:[^"\\]|\\.)*"|\S+)\s+("(?:[^"\\]|\\.)*"|\S+)/g, replacement: `$1 ${mask}` },
  // Hashes and verifiers as they are stored
  { pattern: /\$argon2(?:id|i|d)\$[^\s"']+/g, replacement: mask },
  { pattern: /\bSCRAM-SHA-(?:1|256)\$[^\s"']+/g, replacement: mask },
  { pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, replacement: mask },
];

/** What any of the patterns begins with or needs; a string without it is searched no further. */
const suspicion = /:\/\/|AUTH|LOGIN|\$argon2|SCRAM-SHA-|PRIVATE KEY/i;

/** Characters of one string in a log line; a peer's bytes must not fill the disk. */
const maxLoggedCharacters = 8192;
const maxDepth = 6;

export function redactText(text: string): string {
  let redacted = text.length > maxLoggedCharacters ? `${text.slice(0, maxLoggedCharacters)}…` : text;
  if (!suspicion.test(redacted)) return redacted;
  for (const { pattern, replacement } of patterns) redacted = redacted.replace(pattern, replacement);
  return redacted;
}

/** Field names are words of the program, so there are few; a bound keeps it so. */
const judgedNames = new Map<string, boolean>();
const maxJudgedNames = 2000;

function isSecretName(name: string): boolean {
  const known = judgedNames.get(name);
  if (known !== undefined) return known;
  const isSecret = judgeName(name);
  if (judgedNames.size < maxJudgedNames) judgedNames.set(name, isSecret);
  return isSecret;
}

function judgeName(name: string): boolean {
  const plain = name.toLowerCase().replaceAll(/[-_]/g, '');
  return secretEndings.some((ending) => plain.endsWith(ending)) || secretNames.some((secret) => secret === plain);
}

/** For the fields of child loggers, which pino writes without asking `redactFields`. */
export const secretSerializers: Readonly<Record<string, () => string>> = Object.fromEntries(
  [...secretNames, ...secretEndings].map((name) => [name, () => mask]),
);

/** A copy without secrets and raw bytes, safe to print as JSON: buffers become their length, bigints text. */
function redactValue(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Error) return describeError(value, depth);
  if (depth === maxDepth) return '[deeper]';
  if (Array.isArray(value)) return value.slice(0, 100).map((item) => redactValue(item, depth + 1));
  return redactFields(value as Record<string, unknown>, depth);
}

/** As `redactValue` for the fields of an object. */
export function redactFields(fields: Record<string, unknown>, depth = 0): Record<string, unknown> {
  const redacted: Record<string, unknown> = {};
  for (const name of Object.keys(fields)) {
    redacted[name] = isSecretName(name) ? mask : redactValue(fields[name], depth + 1);
  }
  return redacted;
}

/**
 * Name, message, code, stack and cause of an error, and nothing else it may carry: database errors bring rows
 * (`detail`, `where`), protocol libraries the bytes they choked on.
 */
export function describeError(error: Error, depth = 0): Record<string, unknown> {
  const { code, fault } = error as { readonly code?: unknown; readonly fault?: { readonly kind?: unknown } };
  const cause = error.cause;
  return {
    type: error.name,
    message: redactText(error.message),
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(typeof fault?.kind === 'string' && { fault: fault.kind }),
    ...(error.stack !== undefined && { stack: redactText(error.stack) }),
    ...(cause instanceof Error && depth < maxDepth && { cause: describeError(cause, depth + 1) }),
  };
}
