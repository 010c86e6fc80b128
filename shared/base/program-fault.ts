/**
 * The program can't start or go on, and the person who runs it can mend that. `main` prints
 * `message`, then `hint`, and ends with `exitCode` (sysexits.h): 78 EX_CONFIG for something wrong in the
 * configuration or a manifest, 69 EX_UNAVAILABLE for a service that doesn't answer.
 */
export class ProgramFault extends Error {
  override readonly name = 'ProgramFault';
  readonly exitCode: 69 | 78;
  /** What to do about it, in one line. */
  readonly hint: string;

  constructor(exitCode: 69 | 78, message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
    this.hint = hint;
  }
}
