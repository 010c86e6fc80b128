import saslprep from '@mongodb-js/saslprep';

/** Bytes in UTF-8: more than any person or generator makes, little enough to hash for a stranger. */
export const maxPasswordBytes = 1024;

/**
 * SASLprep (RFC 4013), which RFC 4616 section 2 (PLAIN) and RFC 5802 section 2.2 (SCRAM) apply before a password
 * is stored or compared, so that it is the same one on every keyboard. Code points newer than Unicode 3.2 (emoji
 * above all) are let through when stored too, stricter than which no client is. Null: it is empty, too long or
 * holds control characters, and can't be anybody's.
 */
export function preparePassword(password: string): string | null {
  if (Buffer.byteLength(password) > maxPasswordBytes || !password.isWellFormed()) return null;
  try {
    const prepared = saslprep(password, { allowUnassigned: true });
    return prepared === '' ? null : prepared;
  } catch {
    // The library throws for prohibited characters and for a wrong mix of writing directions.
    return null;
  }
}
