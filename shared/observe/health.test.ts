import { expect, test } from 'vitest';
import { Health } from './health.ts';

test('ready only when every requirement is met', () => {
  const health = new Health();
  health.require('database', 'not reached yet');
  health.require('listeners', 'not bound yet');
  health.meet('listeners');
  expect(health.report()).toEqual({
    state: 'starting',
    isReady: false,
    reasons: [{ name: 'database', reason: 'not reached yet' }],
  });
  health.meet('database');
  expect(health.report()).toEqual({ state: 'ready', isReady: true, reasons: [] });
});

test('a trouble while running degrades, and readiness stays', () => {
  const health = new Health();
  health.degrade('database', 'no answer');
  expect(health.report()).toEqual({
    state: 'degraded',
    isReady: true,
    reasons: [{ name: 'database', reason: 'no answer' }],
  });
  health.recover('database');
  expect(health.report().state).toBe('ready');
});

test('a requirement that no longer holds makes the server unready again', () => {
  const health = new Health();
  health.require('listener imap', 'closed');
  expect(health.report().isReady).toBe(false);
});

test('once stopping it is never ready again', () => {
  const health = new Health();
  health.stop();
  expect(health.report()).toMatchObject({ state: 'stopping', isReady: false });
});
