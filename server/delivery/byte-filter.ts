/** Changes a message on its way to the spool, so that hash and offsets are of what is stored. */
export interface ByteFilter {
  /** What can go on of `chunk` and of what was held back; may be empty. */
  push(chunk: Buffer): Buffer;
  /** What was held back, at the end of the message. */
  finish(): Buffer;
}

export const noBytes = Buffer.alloc(0);
