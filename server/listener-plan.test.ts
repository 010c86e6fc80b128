import { expect, test } from 'vitest';
import { loadServerConfig } from '#shared/config/server-config.ts';
import { planListeners } from './listener-plan.ts';

function plan(environment: Record<string, string>): readonly string[] {
  const { config } = loadServerConfig({ environment, isLocal: true });
  return planListeners(config).map(({ name, host, port, tls }) => `${name} ${host}:${port} ${tls}`);
}

test('all roles open every port', () => {
  expect(plan({})).toEqual([
    'http 127.0.0.1:8080 none',
    'mx 127.0.0.1:2525 starttls',
    'submission 127.0.0.1:2587 starttls',
    'submissions 127.0.0.1:2465 implicit',
    'imap 127.0.0.1:2143 starttls',
    'imaps 127.0.0.1:2993 implicit',
  ]);
});

test.each([
  ['mx', ['http', 'mx']],
  ['submission', ['http', 'submission', 'submissions']],
  ['imap', ['http', 'imap', 'imaps']],
  ['janitor', ['http']],
])('ROLES=%s opens only its own ports and http', (roles, names) => {
  expect(plan({ ROLES: roles }).map((line) => line.split(' ')[0])).toEqual(names);
});

test('IMAP_USE_SSL and SMTP_RECEIVE_USE_SSL turn the ports in clear into TLS ports', () => {
  expect(plan({ IMAP_USE_SSL: 'true', SMTP_RECEIVE_USE_SSL: 'true' })).toEqual(
    expect.arrayContaining(['imap 127.0.0.1:2143 implicit', 'mx 127.0.0.1:2525 implicit']),
  );
});

test.each([
  ['all', ['http', 'mx', 'submission', 'submissions', 'imap', 'imaps', 'acme']],
  ['imap', ['http', 'imap', 'imaps', 'acme']],
  ['outbound,janitor', ['http']],
])('ACME_HTTP_PORT with ROLES=%s is opened once, where clients come', (roles, names) => {
  expect(plan({ ROLES: roles, ACME_HTTP_PORT: '8081' }).map((line) => line.split(' ')[0])).toEqual(names);
});

test('a port that is off is not opened', () => {
  expect(plan({ ROLES: 'imap', IMAP_PORT: 'off', HTTP_PORT: 'off' })).toEqual(['imaps 127.0.0.1:2993 implicit']);
});
