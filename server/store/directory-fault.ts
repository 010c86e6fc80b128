import { unreachable } from '#shared/base/unreachable.ts';
import { classifyPgError } from '#shared/db/pg-error.ts';
import { MailError } from '#server/mail/mail-error.ts';

/**
 * What the directory throws instead of a database error: unavailable, so that the peer hears "later" and never "no
 * such user". Anything that is no fault of the connection is a bug, and passed on.
 */
export function directoryFault(error: unknown): unknown {
  const { kind } = classifyPgError(error);
  switch (kind) {
    case 'unavailable':
    case 'serialization':
      return new MailError({ kind: 'unavailable' }, { cause: error });
    case 'disk-full':
      return new MailError({ kind: 'storage-full' }, { cause: error });
    case 'unique-violation':
    case 'other':
      return error;
    default:
      return unreachable(kind);
  }
}
