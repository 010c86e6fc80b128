/** Everything a mail store or directory can refuse for. Nothing else but a bug may leave them. */
export type MailFault =
  | { readonly kind: 'no-such-account' }
  | { readonly kind: 'no-such-mailbox'; readonly name: string }
  | { readonly kind: 'mailbox-exists'; readonly name: string }
  | { readonly kind: 'mailbox-has-children'; readonly name: string }
  | { readonly kind: 'bad-mailbox-name'; readonly reason: string }
  /** INBOX can't be deleted, and the like. */
  | { readonly kind: 'not-permitted'; readonly reason: string }
  | { readonly kind: 'over-quota'; readonly limitBytes: number }
  | { readonly kind: 'too-big'; readonly limitBytes: number }
  /** A bound of shared/base/limits.ts: keywords of a mailbox, mailboxes of an account, UIDs of a mailbox. */
  | { readonly kind: 'limit'; readonly reason: string }
  /** The database can't be reached, or is starting or stopping: the peer is told to come again. */
  | { readonly kind: 'unavailable' }
  /** The database's or the spool's disk is full: writing waits, reading goes on. */
  | { readonly kind: 'storage-full' };

export class MailError extends Error {
  override readonly name = 'MailError';
  readonly fault: MailFault;

  constructor(fault: MailFault, options?: ErrorOptions) {
    super(fault.kind, options);
    this.fault = fault;
  }
}
