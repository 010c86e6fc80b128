import { expect, test } from 'vitest';
import { classifyPgError, isConnectionLoss } from './pg-error.ts';

function coded(code: string, rest: object = {}): Error {
  return Object.assign(new Error('said by the server'), { code, ...rest });
}

test.each([
  ['a refused connection', coded('ECONNREFUSED'), 'unavailable', true],
  ['a reset', coded('ECONNRESET'), 'unavailable', true],
  ['a socket that is not there', coded('ENOENT', { syscall: 'connect' }), 'unavailable', true],
  ['a file that is not there', coded('ENOENT'), 'other', false],
  ['both addresses refused', new AggregateError([coded('ECONNREFUSED'), coded('ECONNREFUSED')]), 'unavailable', true],
  ['the end of the connection', new Error('Connection terminated unexpectedly'), 'unavailable', true],
  ['no connection in time', new Error('timeout exceeded when trying to connect'), 'unavailable', true],
  ['an administrator’s shutdown', coded('57P01'), 'unavailable', true],
  ['a start', coded('57P03'), 'unavailable', false],
  ['too many connections', coded('53300'), 'unavailable', false],
  ['a statement that took too long', coded('57014'), 'unavailable', false],
  ['a standby', coded('25006'), 'unavailable', false],
  ['a full disk', coded('53100'), 'disk-full', false],
  ['a failing disk', coded('58030'), 'disk-full', false],
  ['no space for our own file', coded('ENOSPC'), 'disk-full', false],
  ['a deadlock', coded('40P01'), 'serialization', false],
  ['a serialization failure', coded('40001'), 'serialization', false],
  ['a syntax error', coded('42601'), 'other', false],
  ['our own mistake', new TypeError('x is undefined'), 'other', false],
  ['no error at all', 'text', 'other', false],
])('%s', (_what, error, kind, isLost) => {
  expect(classifyPgError(error).kind).toBe(kind);
  expect(isConnectionLoss(error)).toBe(isLost);
});

test('a row that is there already names its constraint', () => {
  expect(classifyPgError(coded('23505', { constraint: 'mailbox_name' }))).toEqual({
    kind: 'unique-violation',
    constraint: 'mailbox_name',
  });
});
