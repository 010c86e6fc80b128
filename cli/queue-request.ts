/** The arguments of `postrider queue`, made into what is asked. Pure. */
import { parseArgs } from 'node:util';
import { canonicalDomain } from '#shared/text/domain-name.ts';
import type { QueueAction, QueueFilter, QueueId, QueueState } from '#server/mail/outbound-ports.ts';

export type QueueRequest = { readonly isJson: boolean } & (
  | { readonly do: 'list'; readonly filter: QueueFilter; readonly limit: number }
  | { readonly do: 'show'; readonly ids: readonly QueueId[] }
  | { readonly do: 'stats' }
  | { readonly do: 'act'; readonly filter: QueueFilter; readonly action: QueueAction }
);

export type ReadRequest =
  | { readonly request: QueueRequest; /** Options of the configuration. */ readonly rest: readonly string[] }
  /** What makes no sense. */
  | { readonly fault: string };

const states: readonly QueueState[] = ['queued', 'held', 'dead', 'captured'];
const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const defaultLimit = 100;
const maxLimit = 100_000;

const options = {
  json: { type: 'boolean', default: false },
  all: { type: 'boolean', default: false },
  domain: { type: 'string' },
  sender: { type: 'string' },
  'sender-domain': { type: 'string' },
  state: { type: 'string' },
  route: { type: 'string' },
  older: { type: 'string' },
  deferred: { type: 'boolean', default: false },
  limit: { type: 'string' },
  reason: { type: 'string', default: 'held by an administrator' },
  notify: { type: 'boolean', default: false },
  'to-route': { type: 'string' },
  'to-domain': { type: 'string' },
  local: { type: 'boolean', default: false },
  config: { type: 'string' },
} as const;

type Values = ReturnType<typeof parse>['values'];

export function queueRequest(args: readonly string[]): ReadRequest {
  try {
    const { values, positionals } = parse(args);
    const [what, ...names] = positionals;
    const rest = [
      ...(values.local ? ['--local'] : []),
      ...(values.config === undefined ? [] : ['--config', values.config]),
    ];
    return { request: { isJson: values.json, ...readRequest(what ?? '', names, values) }, rest };
  } catch (error) {
    // parseArgs says what it does not know.
    return { fault: (error as Error).message };
  }
}

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], allowPositionals: true, options });
}

function readRequest(what: string, names: readonly string[], values: Values) {
  const ids = names.map(readId);
  switch (what) {
    case 'list':
      return { do: 'list', filter: readFilter(ids, values), limit: readLimit(values.limit) } as const;
    case 'show':
      if (ids.length === 0) throw new Error('show takes the ids of messages, such as q17');
      return { do: 'show', ids } as const;
    case 'stats':
      return { do: 'stats' } as const;
    case 'hold':
    case 'release':
    case 'retry':
    case 'cancel': {
      const filter = readFilter(ids, values);
      // Whoever means everything says so.
      if (Object.keys(filter).length === 0 && !values.all) throw new Error(`${what} takes ids, filters or --all`);
      return { do: 'act', filter, action: readAction(what, values) } as const;
    }
    default:
      throw new Error('queue takes: list, show, hold, release, retry, cancel, stats');
  }
}

function readAction(what: 'hold' | 'release' | 'retry' | 'cancel', values: Values): QueueAction {
  const route = values['to-route'];
  if (what === 'hold') return { kind: 'hold', reason: values.reason };
  if (what === 'cancel') return { kind: 'cancel', isNotifying: values.notify };
  if (what === 'release' || route === undefined) return { kind: what };
  const domain = values['to-domain'];
  return { kind: 'reroute', hop: { route, domain: domain === undefined ? null : readDomain(domain) } };
}

function readFilter(ids: readonly QueueId[], values: Values): QueueFilter {
  const { state, domain, sender, route, older, deferred } = values;
  const senderDomain = values['sender-domain'];
  const known = states.find((each) => each === state);
  if (state !== undefined && known === undefined) throw new Error(`--state is one of ${states.join(', ')}`);
  return {
    ...(ids.length > 0 && { ids }),
    ...(known !== undefined && { state: known }),
    ...(domain !== undefined && { recipientDomain: readDomain(domain) }),
    // <> is how everybody writes it.
    ...(sender !== undefined && { sender: sender === '<>' ? '' : sender }),
    ...(senderDomain !== undefined && { senderDomain: readDomain(senderDomain) }),
    ...(route !== undefined && { route }),
    ...(older !== undefined && { olderThanSeconds: readAge(older) }),
    ...(deferred && { isDeferred: true }),
  };
}

function readId(text: string): QueueId {
  const digits = /^q?(\d{1,18})$/i.exec(text)?.[1];
  if (digits === undefined) throw new Error(`${text} is no id of the queue, such as q17`);
  return BigInt(digits) as QueueId;
}

function readDomain(text: string): string {
  const domain = canonicalDomain(text);
  if (domain === null) throw new Error(`${text} is no domain`);
  return domain;
}

function readAge(text: string): number {
  const [, number, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (number === undefined || unit === undefined) throw new Error('--older is a time such as 30m, 4h or 2d');
  return Number(number) * (units[unit] ?? 1);
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return defaultLimit;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) throw new Error(`--limit is 1 to ${maxLimit}`);
  return limit;
}
