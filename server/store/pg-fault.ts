import { classifyPgError } from '#shared/db/pg-error.ts';
import { MailError } from '#server/mail/mail-error.ts';

/** What a failed statement means to callers of the store; null: a bug of ours, to be passed on as it is. */
export function mailErrorOf(error: unknown): MailError | null {
  if (error instanceof MailError) return error;
  switch (classifyPgError(error).kind) {
    case 'unavailable':
    case 'serialization':
      return new MailError({ kind: 'unavailable' }, { cause: error });
    case 'disk-full':
      return new MailError({ kind: 'storage-full' }, { cause: error });
    default:
      return null;
  }
}

/** Everything that leaves the store passes here: MailError, or a bug. */
export async function refusing<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw mailErrorOf(error) ?? error;
  }
}

export const noSuchMailbox = (): MailError => new MailError({ kind: 'no-such-mailbox', name: '' });
export const noSuchAccount = (): MailError => new MailError({ kind: 'no-such-account' });
