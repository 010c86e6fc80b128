/**
 * The log: one line an event, JSON for machines or text for a terminal. The first argument's `event` names what
 * happened in dotted words (`conn.open`, `msg.stored`, `auth.fail`): people search for these, so they don't change
 * lightly. Secrets are taken out here (redact.ts), so that no caller has to think of it.
 */
import { randomFillSync } from 'node:crypto';
import pino from 'pino';
import { describeError, redactFields, redactText, secretSerializers } from './redact.ts';
import { formatLogLine } from './log-text.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
export type LogFormat = 'json' | 'text';

/** `child({connection: …})` for everything that concerns one connection, `child({message: …})` for one message. */
export type Logger = pino.Logger;

export type LoggerOptions = {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Several processes write to the same standard output: no line may land in the middle of another's. */
  readonly isShared?: boolean;
  /** Where lines go; standard output when left out. */
  readonly write?: (line: string) => void;
};

export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      level: options.level,
      // No pid and host name: whoever collects logs knows them.
      base: null,
      timestamp: timeField,
      messageKey: 'msg',
      formatters: {
        level: (label) => ({ level: label }),
        log: redactFields,
      },
      serializers: {
        ...secretSerializers,
        err: (value: unknown) => (value instanceof Error ? describeError(value) : value),
      },
      hooks: {
        logMethod(args, method) {
          const redacted = args.map((arg) => (typeof arg === 'string' ? redactText(arg) : arg));
          method.apply(this, redacted as typeof args);
        },
      },
    },
    destination(options),
  );
}

let second = Number.NaN;
let secondText = '';

/** The field `time`, in ISO 8601: what lines of one second have in common is made once. */
function timeField(): string {
  const now = Date.now();
  if (!(now >= second && now < second + 1000)) {
    second = now - (now % 1000);
    secondText = new Date(second).toISOString().slice(0, -'000Z'.length);
  }
  return `,"time":"${secondText}${String(now - second).padStart(3, '0')}Z"`;
}

/** POSIX: what is written to a pipe at once, of at most so many bytes, stays together (PIPE_BUF on Linux). */
const togetherBytes = 4096;
/** A write for each line would cost as much as what it tells of: lines are collected, so many bytes or so long. */
const collectedBytes = 12 * 1024;
/** Fewer where a write must stay together: the line that is one too many belongs to it. */
const collectedTogetherBytes = 3072;
const collectedMs = 50;

function destination({ format, write, isShared = false }: LoggerOptions): pino.DestinationStream {
  const render = format === 'text' ? formatLogLine : (line: string) => line;
  if (write !== undefined) return { write: (line) => write(render(line)) };
  const stdout = pino.destination({
    dest: 1,
    sync: false,
    minLength: isShared ? collectedTogetherBytes : collectedBytes,
    ...(isShared && { maxWrite: togetherBytes }),
  });
  let timer: NodeJS.Timeout | null = null;
  stdout.once('close', () => clearTimeout(timer ?? undefined));
  const stream: FlushableStream = {
    write(line) {
      stdout.write(render(line));
      // Not kept alive by it: what is left is written at the exit.
      timer ??= setTimeout(() => {
        timer = null;
        stdout.flush();
      }, collectedMs).unref();
    },
    flush: (done) => stdout.flush(done),
    flushSync: () => stdout.flushSync(),
  };
  return stream;
}

/** pino calls these from `logger.flush` and after a fatal line: nothing may be lost then. */
type FlushableStream = pino.DestinationStream & {
  readonly flush: (done?: (err?: Error) => void) => void;
  readonly flushSync: () => void;
};

/** For tests and for parts that are used outside the server. */
export const silentLogger: Logger = pino({ level: 'silent' });

const idBytes = 9;
/** Many ids' worth: each call for randomness costs more than the id. */
const randomness = Buffer.alloc(idBytes * 256);
let used = randomness.length;

/** A short id for a connection or a message, unique enough to search a log for: 12 characters, never secret. */
export function newLogId(): string {
  if (used === randomness.length) {
    randomFillSync(randomness);
    used = 0;
  }
  used += idBytes;
  return randomness.toString('base64url', used - idBytes, used);
}
