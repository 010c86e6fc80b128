/** How long a peer may take, in ms. */
export type Deadlines = {
  /** For one address; more would keep the next one waiting. */
  readonly connectMs: number;
  /** Before the next address of a host is tried beside it (as RFC 8305 section 5, with a delay for the Internet's mail). */
  readonly nextAddressMs: number;
  readonly handshakeMs: number;
  readonly greetingMs: number;
  /** EHLO, STARTTLS, AUTH, RSET. */
  readonly commandMs: number;
  readonly mailMs: number;
  readonly rcptMs: number;
  readonly dataMs: number;
  /** For a piece of the message to be taken. */
  readonly pieceMs: number;
  /** For the answer to the final dot: the peer may be storing it, so giving up early makes second copies. */
  readonly endOfDataMs: number;
  readonly quitMs: number;
  /** A connection without work is closed after this. */
  readonly idleMs: number;
};

/** RFC 5321 section 4.5.3.2 where it has a number. */
export const defaultDeadlines: Deadlines = {
  connectMs: 30_000,
  nextAddressMs: 1_000,
  handshakeMs: 30_000,
  greetingMs: 5 * 60_000,
  commandMs: 5 * 60_000,
  mailMs: 5 * 60_000,
  rcptMs: 5 * 60_000,
  dataMs: 2 * 60_000,
  pieceMs: 3 * 60_000,
  endOfDataMs: 10 * 60_000,
  quitMs: 2_000,
  idleMs: 30_000,
};
