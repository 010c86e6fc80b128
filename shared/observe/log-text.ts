/** The log line for people at a terminal: time, level, event, sentence, then the other fields. */

const colours: Readonly<Record<string, string>> = {
  trace: '\u001B[2m',
  debug: '\u001B[2m',
  warn: '\u001B[33m',
  error: '\u001B[31m',
  fatal: '\u001B[31m',
};
const reset = '\u001B[0m';

/** `line` is one JSON log line; anything else comes back as it is. */
export function formatLogLine(line: string): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const { level, time, msg, event, err, ...rest } = fields;
  const levelName = String(level);
  const clock = typeof time === 'string' ? time.slice(11, 19) : '';
  const words = [clock, levelName.toUpperCase().padEnd(5), event, msg, ...Object.entries(rest).map(formatField)];
  const text = words.filter((word) => word !== undefined && word !== '').join(' ');
  const stack = formatError(err);
  return `${colours[levelName] ?? ''}${text}${stack}${levelName in colours ? reset : ''}\n`;
}

/** A value that could be taken for something else is quoted: a peer may have chosen it. */
function formatField([name, value]: readonly [string, unknown]): string {
  const isPlain = typeof value === 'string' && value !== '' && !/[\s"=\\]/.test(value);
  return `${name}=${harmless(isPlain ? value : JSON.stringify(value))}`;
}

// Controls steer a terminal or begin a line of their own; the others turn the reading direction.
const steering = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Line ends stay; they are only in what the server says itself and in stacks. */
function harmless(text: string): string {
  return text.replaceAll(steering, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function formatError(err: unknown): string {
  if (typeof err !== 'object' || err === null) return '';
  const { stack, message, cause } = err as { stack?: unknown; message?: unknown; cause?: unknown };
  const own = typeof stack === 'string' ? stack : typeof message === 'string' ? message : JSON.stringify(err);
  const because = formatError(cause);
  return `\n  ${harmless(own).replaceAll('\n', '\n  ')}${because === '' ? '' : `\n  caused by:${because}`}`;
}
