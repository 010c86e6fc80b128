import { expect, test } from 'vitest';
import { createLogger, newLogId, type LoggerOptions } from './logger.ts';

function capture(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const logger = createLogger({ level: 'info', format: 'json', ...options, write: (line) => lines.push(line) });
  return { logger, lines, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

test('a line is JSON with level, time, event and the ids of its connection', () => {
  const { logger, parsed } = capture();
  logger.child({ connection: 'c1' }).info({ event: 'conn.open', listener: 'mx' }, 'connection opened');
  expect(parsed()[0]).toMatchObject({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    connection: 'c1',
    event: 'conn.open',
    listener: 'mx',
    msg: 'connection opened',
  });
});

test('the level hides what is below it', () => {
  const { logger, lines } = capture({ level: 'warn' });
  logger.info('hidden');
  logger.warn('shown');
  expect(lines).toHaveLength(1);
});

test('secrets are taken out of fields, messages and errors', () => {
  const { logger, lines } = capture();
  logger.info(
    { event: 'x', password: 'sesame-1', deep: { authPass: 'x', Auth_Token: 'y', pass: 'sesame-2' } },
    'login',
  );
  logger.info('C: a1 LOGIN alice "sesame-3"');
  logger.info('AUTH PLAIN AGFsaWNlAHNlc2FtZS00');
  logger.error({ err: new Error('cannot reach postgres://mail:sesame-5@db:5432/mail') }, 'database');
  logger.error({ err: new Error('outer', { cause: new Error('a1 LOGIN alice sesame-6') }) });
  logger.child({ secret: 'sesame-7' }).info('child');
  logger.info({ hash: '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$sesame-8' });
  expect(lines.join('')).not.toContain('sesame');
  expect(lines.join('')).not.toContain('AGFsaWNl');
  expect(lines).toHaveLength(7);
});

test('an error keeps its code and stack and drops whatever else it carries', () => {
  const { logger, parsed } = capture();
  const err = Object.assign(new Error('bad'), {
    code: '23505',
    detail: 'Key (address)=(bob@example.org)',
    packet: 'raw',
  });
  logger.error({ err });
  const logged = parsed()[0]?.['err'] as Record<string, unknown>;
  expect(logged).toMatchObject({ type: 'Error', message: 'bad', code: '23505' });
  expect(Object.keys(logged).sort()).toEqual(['code', 'message', 'stack', 'type']);
});

test('bytes are logged as their length, bigints as digits', () => {
  const { logger, parsed } = capture();
  logger.info({ body: Buffer.from('a1 FETCH'), account: 7n });
  expect(parsed()[0]).toMatchObject({ body: '[8 bytes]', account: '7' });
});

test('the text form shows time, level, event, sentence, fields and the causes of an error', () => {
  const { logger, lines } = capture({ format: 'text' });
  logger.info({ event: 'msg.stored', uid: 4 }, 'stored');
  logger.warn({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed');
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d INFO {2}msg\.stored stored uid=4\n$/);
  expect(lines[1]).toContain('Error: outer');
  expect(lines[1]).toMatch(/caused by:\n +Error: inner/);
});

test('in the text form nobody forges a line, steers the terminal or makes a field of a value', () => {
  const { logger, lines } = capture({ format: 'text' });
  const login = 'x\n12:00:00 ERROR server.crashed code=1 \u001b[2J\u009b2J\u202e';
  logger.info({ login }, 'login refused');
  logger.warn({ err: new Error(login) }, 'failed');
  expect(lines[0]?.trimEnd()).toMatch(/ login="x\\n12:00:00 ERROR [^\n]+"$/);
  expect(lines[1]).toContain('\n  12:00:00 ERROR');
  // What is left of them are our own colours for the warning.
  const text = lines.join('').replaceAll('\u001b[33m', '').replaceAll('\u001b[0m', '');
  expect(text).not.toMatch(/[\u001b\u009b\u202e]/);
});

test('log ids are 12 characters and differ', () => {
  expect(newLogId()).toMatch(/^[\w-]{12}$/);
  expect(newLogId()).not.toBe(newLogId());
});
