import { expect, test } from 'vitest';
import { AcmeProblem, AcmeUnreachable, problemDocument, type AcmeStep } from '#operator/acme/acme-problem.ts';
import { judgeFailure, momentWithin, pollMs, renewalTime } from './acme-schedule.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const at = (days: number): Date => new Date(Date.UTC(2026, 0, 1) + days * day);

function problem(type: string, step: AcmeStep, retryAfterMs: number | null = null, status = 400): AcmeProblem {
  const document = problemDocument.parse({ type: `urn:ietf:params:acme:error:${type}`, detail: 'so it is' });
  return new AcmeProblem(document, { step, status, retryAfterMs });
}

test('what fails again and again is tried more and more seldom, from minutes to hours', () => {
  const waits = [0, 1, 2, 3, 8, 100].map((before) => judgeFailure(problem('dns', 'challenge'), before)?.waitMs);
  expect(waits).toEqual([5 * minute, 10 * minute, 20 * minute, 40 * minute, 12 * hour, 12 * hour]);
});

test('an authority that is away is tried sooner, and what was begun is not given up', () => {
  const first = judgeFailure(new AcmeUnreachable('a.test: refused'), 0);
  expect(first).toMatchObject({ isOver: false, waitMs: 15_000, problem: { reason: 'ACMEUnreachable' } });
  expect(judgeFailure(new AcmeUnreachable('a.test: refused'), 30)?.waitMs).toBe(hour);
  expect(judgeFailure(problem('serverInternal', 'order'), 0)).toMatchObject({ isOver: false, waitMs: 15_000 });
});

test('Retry-After is honoured, and a limit without it is an hour', () => {
  expect(judgeFailure(problem('rateLimited', 'order', 30 * hour), 0)).toMatchObject({
    waitMs: 30 * hour,
    problem: { reason: 'ACMERateLimited', isLimit: true },
  });
  expect(judgeFailure(problem('rateLimited', 'account'), 0)?.waitMs).toBe(hour);
  // What was begun is gone on with, unless it failed for that.
  expect(judgeFailure(problem('rateLimited', 'order'), 0)?.isOver).toBe(false);
  expect(judgeFailure(problem('rateLimited', 'challenge'), 0)?.isOver).toBe(false);
  expect(judgeFailure(problem('rateLimited', 'challenge', null, 0), 0)?.isOver).toBe(true);
  expect(judgeFailure(problem('dns', 'challenge', minute), 0)?.waitMs).toBe(5 * minute);
});

test.each([
  ['externalAccountRequired', 'account', 'ACMEAccountRefused', /externalAccountBinding/],
  ['unauthorized', 'account', 'ACMEAccountRefused', /delete the Secret/],
  ['unauthorized', 'challenge', 'ACMEChallengeFailed', /port 80/],
  ['unauthorized', 'order', 'ACMEOrderRefused', /^unauthorized: so it is$/],
  ['caa', 'challenge', 'ACMEChallengeFailed', /CAA/],
  ['rejectedIdentifier', 'order', 'ACMEOrderRefused', /another name/],
  ['badCSR', 'order', 'ACMEOrderRefused', /^badCSR: so it is$/],
] as const)('%s at the %s is %s', (type, step, reason, words) => {
  const failure = judgeFailure(problem(type, step), 0);
  expect(failure).toMatchObject({ isOver: true, problem: { reason, isLimit: false } });
  expect(failure?.problem.message).toMatch(words);
});

test('a fault of ours is none of the authority’s', () => {
  expect(judgeFailure(new Error('database'), 0)).toBeNull();
});

test('subproblems and terms are told, and nothing but text comes of what an authority writes', () => {
  const document = problemDocument.parse({
    type: 'urn:ietf:params:acme:error:userActionRequired',
    detail: `new\r\nterms ${'x'.repeat(2000)}`,
    instance: 'https://ca.test/terms',
    subproblems: [
      { type: 'urn:ietf:params:acme:error:dns', detail: 'none', identifier: { type: 'dns', value: 'a.test' } },
    ],
  });
  const { message } = judgeFailure(new AcmeProblem(document, { step: 'account' }), 0)?.problem ?? { message: '' };
  expect(message).toMatch(/^userActionRequired: new terms x+; a\.test: dns: none \(see https:\/\/ca\.test\/terms\)$/);
  expect(message.length).toBeLessThan(700);
});

test('a certificate is renewed when a third of its time is left, or when its authority would like it', () => {
  const span = { from: at(0), to: at(90) };
  expect(renewalTime(span, null)).toEqual(at(60));
  expect(renewalTime(span, at(40))).toEqual(at(40));
  // Neither at once, again and again, nor after its end.
  expect(renewalTime(span, at(-5))).toEqual(at(1));
  expect(renewalTime(span, at(200))).toEqual(at(85.5));
});

test('the moment within a window is the same each time, and within', () => {
  const window = { start: at(0), end: at(2) };
  const moments = ['00000000', 'FFFFFFFF', '7FFFFFFF'].map((serial) => momentWithin(window, `AB${serial}`).getTime());
  expect(moments[0]).toBe(at(0).getTime());
  expect(moments[1]).toBe(at(2).getTime());
  expect(moments[2]).toBeCloseTo(at(1).getTime(), -4);
});

test('a slow order is looked at more seldom', () => {
  expect([0, minute, hour].map(pollMs)).toEqual([1_000, 5_000, minute]);
});
