import { expect, test } from 'vitest';
import type { MailFault } from '#server/mail/mail-error.ts';
import { faultToResponse } from './fault-to-response.ts';
import { taggedResponse } from './outcome.ts';

test.each<[MailFault, 'CREATE' | 'COPY', string]>([
  [{ kind: 'no-such-account' }, 'CREATE', 'NO [CONTACTADMIN]'],
  [{ kind: 'no-such-mailbox', name: 'x' }, 'CREATE', 'NO [NONEXISTENT]'],
  [{ kind: 'no-such-mailbox', name: 'x' }, 'COPY', 'NO [TRYCREATE]'],
  [{ kind: 'mailbox-exists', name: 'x' }, 'CREATE', 'NO [ALREADYEXISTS]'],
  [{ kind: 'mailbox-has-children', name: 'x' }, 'CREATE', 'NO [HASCHILDREN]'],
  [{ kind: 'bad-mailbox-name', reason: 'no' }, 'CREATE', 'NO [CANNOT]'],
  [{ kind: 'not-permitted', reason: 'no' }, 'CREATE', 'NO [CANNOT]'],
  [{ kind: 'over-quota', limitBytes: 5 }, 'COPY', 'NO [OVERQUOTA]'],
  [{ kind: 'too-big', limitBytes: 5 }, 'COPY', 'NO [TOOBIG]'],
  [{ kind: 'limit', reason: 'no' }, 'COPY', 'NO [LIMIT]'],
  [{ kind: 'unavailable' }, 'COPY', 'NO [UNAVAILABLE]'],
  [{ kind: 'storage-full' }, 'COPY', 'NO [UNAVAILABLE]'],
])('%j of %s is %s', (fault, verb, expected) => {
  expect(taggedResponse('a', faultToResponse(fault, verb))).toContain(`a ${expected} `);
});

test('a reason with other than printable ASCII is still one line of text (RFC 3501 section 9, "text")', () => {
  const fault: MailFault = { kind: 'not-permitted', reason: 'Größe\r\na OK' };
  expect(taggedResponse('a', faultToResponse(fault, 'CREATE'))).toBe('a NO [CANNOT] Gr??e??a OK\r\n');
});
