/** `postrider queue`: what waits to go out, and what an administrator does about it. */
import { sql } from 'kysely';
import process from 'node:process';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { ServerConfig } from '#shared/config/server-config.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { checkSchema } from '#shared/db/migrate.ts';
import type {
  QueueAction,
  QueueAdministration,
  QueueAttempt,
  QueueFilter,
  QueueId,
  QueueRecipientId,
  QueueRow,
} from '#server/mail/outbound-ports.ts';
import { queueName } from '#server/outbound/queue-log.ts';
import { createQueueAdministration } from '#server/store/pg-queue-admin.ts';
import { outboundChannel } from '#server/store/pg-queue-wake.ts';
import { defaultMaxConnections } from '#server/transport/router.ts';
import { withDatabase, type Print } from './database-commands.ts';
import type { QueueRequest } from './queue-request.ts';
import { table } from './table.ts';

const pageRows = 1000;

export function queue(config: ServerConfig, request: QueueRequest, print: Print): Promise<number> {
  return withDatabase(config, async (database) => {
    await checkSchema(database);
    const administration = createQueueAdministration({
      db: database.db,
      // A route's own bounds are set when a server next uses it.
      limits: () => ({ maxLanes: defaultMaxConnections, perMinute: null }),
      rouse: () => undefined,
    });
    await perform(database, administration, request, print);
  });
}

async function perform(
  database: PostgresDatabase,
  administration: QueueAdministration,
  request: QueueRequest,
  print: Print,
): Promise<void> {
  switch (request.do) {
    case 'list':
      return printList(administration, request, print);
    case 'show':
      for (const id of request.ids) await printMessage(administration, id, request.isJson, print);
      return;
    case 'stats':
      return printStatistics(administration, request.isJson, print);
    case 'act':
      await act(administration, request.filter, request.action, print, request.isJson);
      // Workers look by themselves now and then; so they look at once.
      await sql`select pg_notify(${outboundChannel}, '')`.execute(database.db);
  }
}

async function printList(
  administration: QueueAdministration,
  { filter, limit, isJson }: Extract<QueueRequest, { do: 'list' }>,
  print: Print,
): Promise<void> {
  const rows: QueueRow[] = [];
  for (let after: QueueRecipientId | null = null; rows.length < limit;) {
    const page = await administration.list(filter, after, Math.min(pageRows, limit - rows.length));
    if (page.length === 0) break;
    rows.push(...page);
    after = page.at(-1)?.recipientId ?? after;
  }
  if (isJson) {
    for (const row of rows) print(toJson(row));
    return;
  }
  print(
    table(
      ['ID', 'STATE', 'FROM', 'TO', 'SIZE', 'TRIES', 'NEXT', 'LAST REPLY'],
      rows.map((row) => [
        queueName(row.messageId),
        row.isLeased ? `${row.state}*` : row.state,
        row.sender || '<>',
        row.recipient,
        String(row.size),
        String(row.attempts),
        row.dueAt === null ? '' : inTime(row.dueAt),
        (row.reason ?? '').slice(0, 80),
      ]),
    ),
  );
  if (rows.length === limit) print(`the first ${limit}; --limit shows more`);
}

async function printMessage(
  administration: QueueAdministration,
  id: QueueId,
  isJson: boolean,
  print: Print,
): Promise<void> {
  const shown = await administration.show(id);
  if (shown === null) {
    throw new ProgramFault(
      78,
      `there is no ${queueName(id)} in the queue, nor was there lately`,
      'See `postrider queue list`.',
    );
  }
  if (isJson) {
    print(toJson({ id, ...shown }));
    return;
  }
  const { envelope, acceptedAt, rows, attempts } = shown;
  print(`${queueName(id)} from <${envelope.sender}>, accepted ${acceptedAt.toISOString()} (log: ${envelope.traceId})`);
  if (envelope.messageId !== null) print(`Message-ID: <${envelope.messageId}>`);
  const open = new Set(rows.map(({ recipientId }) => recipientId));
  const states = [
    ...rows.map((row) => [
      row.recipient,
      row.isLeased ? `${row.state}*` : row.state,
      row.dueAt ? inTime(row.dueAt) : '',
      row.reason ?? '',
    ]),
    ...lastOf(attempts.filter(({ recipientId }) => !open.has(recipientId))).map((last) => [
      last.recipient,
      last.outcome,
      '',
      last.facts?.reply.text ?? '',
    ]),
  ];
  print(`\n${table(['RECIPIENT', 'STATE', 'NEXT', 'LAST REPLY'], states)}`);
  if (attempts.length > 0)
    print(`\n${table(['AT', 'RECIPIENT', 'OUTCOME', 'HOST', 'TLS', 'MS', 'REPLY'], attempts.map(attemptCells))}`);
}

function attemptCells({ at, recipient, outcome, facts, isUncertain, isStale }: QueueAttempt): readonly string[] {
  const marks = `${isUncertain ? ' (may have arrived)' : ''}${isStale ? ' (late)' : ''}`;
  const reply = facts ? [facts.reply.code, facts.reply.status, facts.reply.text].filter((part) => part !== null) : [];
  return [
    at.toISOString(),
    recipient,
    `${outcome}${marks}`,
    facts?.host ?? '',
    facts?.tls?.version ?? '',
    facts ? String(facts.ms) : '',
    reply.join(' '),
  ];
}

/** The last attempt of each recipient. */
function lastOf(attempts: readonly QueueAttempt[]): readonly QueueAttempt[] {
  return [...new Map(attempts.map((attempt) => [attempt.recipientId, attempt])).values()];
}

async function act(
  administration: QueueAdministration,
  filter: QueueFilter,
  action: QueueAction,
  print: Print,
  isJson: boolean,
): Promise<void> {
  let changed = 0;
  for await (const count of administration.act(filter, action)) {
    changed = count;
    if (process.stderr.isTTY) process.stderr.write(`\r${count} recipients`);
  }
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  print(isJson ? toJson({ action: action.kind, recipients: changed }) : `${done[action.kind]}: ${changed} recipients`);
}

const done: Readonly<Record<QueueAction['kind'], string>> = {
  hold: 'held',
  release: 'released',
  retry: 'tried again now',
  cancel: 'to be removed',
  reroute: 'sent another way',
};

async function printStatistics(administration: QueueAdministration, isJson: boolean, print: Print): Promise<void> {
  const { groups } = await administration.statistics();
  if (isJson) {
    print(toJson(groups));
    return;
  }
  if (groups.length === 0) {
    print('the queue is empty');
    return;
  }
  print(
    table(
      ['STATE', 'PRIORITY', 'ROUTE', 'RECIPIENTS', 'OLDEST'],
      groups.map((group) => [
        group.state,
        group.priority,
        group.route,
        String(group.recipients),
        age(group.oldestSeconds),
      ]),
    ),
  );
}

function inTime(due: Date): string {
  const seconds = (due.getTime() - Date.now()) / 1000;
  return seconds <= 0 ? 'now' : `in ${age(seconds)}`;
}

function age(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** One line; ids as text, since they may be larger than a JSON reader's numbers. */
function toJson(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? String(each) : each));
}
