import { expect, test } from 'vitest';
import { loadServerConfig } from '#shared/config/server-config.ts';
import { connectionBudget, servingConfig, supervisorConfig } from './division.ts';
import { packConfig, unpackConfig } from './packed-config.ts';

const url = 'postgres://mail:sesame@db:5432/mail';
const configOf = (environment: Record<string, string>) =>
  loadServerConfig({ environment: { DATABASE_URL: url, ...environment }, isLocal: false }).config;
const found = { databaseUrl: url, certificate: { certificate: '/tls/a.crt', privateKey: '/tls/a.key' } };

test('one process does everything', () => {
  const config = configOf({});
  expect(supervisorConfig(config)).toBe(config);
  expect(connectionBudget(config)).toBe(25);
});

test('of several, each role is in one kind of process, and only those that serve open mail listeners', () => {
  const config = configOf({ PROCESSES: '4', MANIFESTS_DIR: '/m' });
  const supervisor = supervisorConfig(config);
  const serving = servingConfig(config, found);
  expect([...supervisor.roles, ...serving.roles].toSorted()).toEqual([...config.roles].toSorted());
  expect(supervisor.roles).not.toContain('imap');
  expect(serving.roles).toContain('outbound');
  expect(serving.roles).not.toContain('janitor');
  expect(serving).toMatchObject({ processes: 1, httpPort: null, manifestsDirectory: null, drainDelaySeconds: 0 });
  expect(connectionBudget(config)).toBe(4 * 25 + 10);
});

test('a configuration arrives as it was sent, with its secrets', () => {
  const config = servingConfig(configOf({ PROCESSES: '2' }), found);
  const arrived = unpackConfig(structuredClone(packConfig(config)));
  expect(arrived).toEqual(config);
  expect(arrived.databaseUrl?.reveal()).toBe(url);
});
