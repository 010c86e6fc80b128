/** One message over a session that is ready: what the peer says of each recipient. */
import type { MessageSource, OutboundEnvelope, OutboundRecipient } from '#server/mail/outbound-ports.ts';
import { DotStuffing } from './dot-stuffing.ts';
import { mailCommand, rcptCommand } from './mail-parameters.ts';
import { PeerFault } from './peer-fault.ts';
import type { Reply } from './smtp-reply.ts';
import type { SmtpSession } from './smtp-session.ts';

/** What is written at a time where the message comes in smaller pieces. */
const pieceBytes = 64 * 1024;

export type Stage = 'mail' | 'rcpt' | 'data' | 'end';

/** What became of one recipient. `reply` 2yz at `end`: the peer has taken it over. */
export type Settled =
  | { readonly kind: 'reply'; readonly stage: Stage; readonly reply: Reply }
  /** `isUncertain`: the final dot was sent. */
  | { readonly kind: 'fault'; readonly stage: Stage; readonly fault: PeerFault; readonly isUncertain: boolean }
  /** The dot was not sent, and the connection cut: by us. */
  | { readonly kind: 'given-up'; readonly cause: unknown };

export type Transaction = {
  readonly envelope: OutboundEnvelope;
  readonly recipients: readonly OutboundRecipient[];
  readonly content: MessageSource;
  readonly now: Date;
  /** The transaction before was not ended; it is reset first. */
  readonly needsReset: boolean;
  readonly isLeaseValid: () => boolean;
};

export type TransactionResult = {
  /** In the order of the recipients. */
  readonly settled: readonly Settled[];
  /** The peer has a transaction open that is to be reset before the next. */
  readonly needsReset: boolean;
};

/** Never rejects for what the peer does. */
export async function transact(session: SmtpSession, transaction: Transaction): Promise<TransactionResult> {
  return new Run(session, transaction).run();
}

class Run {
  readonly #session: SmtpSession;
  readonly #transaction: Transaction;
  readonly #settled: (Settled | null)[];
  #stage: Stage = 'mail';
  #isEndSent = false;
  #isTransactionOpen = false;

  constructor(session: SmtpSession, transaction: Transaction) {
    this.#session = session;
    this.#transaction = transaction;
    this.#settled = transaction.recipients.map(() => null);
  }

  async run(): Promise<TransactionResult> {
    try {
      const isReadyForData = this.#session.extensions.has('PIPELINING')
        ? await this.#pipelined()
        : await this.#inTurn();
      if (isReadyForData && (await this.#sendContent())) await this.#readEnd();
    } catch (error) {
      if (!(error instanceof PeerFault)) throw error;
      await this.#lost(error);
    }
    return { settled: this.#settled.map((each) => each ?? notSaid(this.#stage)), needsReset: this.#isTransactionOpen };
  }

  /** The whole envelope and DATA at once (RFC 2920 section 3.1). True: the message may follow. */
  async #pipelined(): Promise<boolean> {
    const { recipients, needsReset } = this.#transaction;
    const { deadlines } = this.#session;
    const commands = [needsReset ? 'RSET\r\n' : '', this.#mail(), ...recipients.map((each) => this.#rcpt(each))];
    await this.#session.write(`${commands.join('')}DATA\r\n`, deadlines.commandMs);
    if (needsReset) await this.#session.reply(deadlines.commandMs);
    const isTaken = await this.#readMail();
    this.#stage = 'rcpt';
    for (const i of recipients.keys()) await this.#readRcpt(i);
    this.#stage = 'data';
    const reply = await this.#session.reply(deadlines.dataMs);
    if (isTaken && this.#hasTakers) return this.#judgeData(reply);
    // RFC 2920 section 3.1: DATA that is accepted for nobody is ended at once.
    if (reply.code === 354) await this.#session.command('.', deadlines.endOfDataMs);
    return false;
  }

  async #inTurn(): Promise<boolean> {
    const { recipients, needsReset } = this.#transaction;
    const { deadlines } = this.#session;
    if (needsReset) await this.#session.command('RSET');
    await this.#session.write(this.#mail(), deadlines.mailMs);
    if (!(await this.#readMail())) return false;
    this.#stage = 'rcpt';
    for (const [i, recipient] of recipients.entries()) {
      await this.#session.write(this.#rcpt(recipient), deadlines.rcptMs);
      await this.#readRcpt(i);
    }
    if (!this.#hasTakers) return false;
    this.#stage = 'data';
    return this.#judgeData(await this.#session.command('DATA', deadlines.dataMs));
  }

  async #readMail(): Promise<boolean> {
    const reply = await this.#session.reply(this.#session.deadlines.mailMs);
    if (isPositive(reply)) {
      this.#isTransactionOpen = true;
      return true;
    }
    this.#settleRest({ kind: 'reply', stage: 'mail', reply });
    this.#endIfClosing(reply);
    return false;
  }

  async #readRcpt(i: number): Promise<void> {
    const reply = await this.#session.reply(this.#session.deadlines.rcptMs);
    // After a refused MAIL the answers say nothing more.
    if (!isPositive(reply)) this.#settled[i] ??= { kind: 'reply', stage: 'rcpt', reply };
    this.#endIfClosing(reply);
  }

  #judgeData(reply: Reply): boolean {
    if (reply.code === 354) return true;
    this.#settleRest({ kind: 'reply', stage: 'data', reply });
    return false;
  }

  /** True: the final dot is on its way. */
  async #sendContent(): Promise<boolean> {
    const { content, isLeaseValid } = this.#transaction;
    const { pieceMs } = this.#session.deadlines;
    const stuffing = new DotStuffing();
    let held: Buffer[] = [stuffing.stuff(content.prefix)];
    let heldBytes = content.prefix.length;
    const chunks = content.read(0, content.rawSize)[Symbol.asyncIterator]();
    for (;;) {
      const next = await this.#nextChunk(chunks);
      if (next === 'failed') return false;
      if (next.done === true) break;
      if (heldBytes + next.value.length > pieceBytes && heldBytes > 0) {
        await this.#session.write(joined(held), pieceMs);
        // A peer that refuses before the end closes, and then its words are lost.
        if (this.#session.hasUnasked) throw new PeerFault('closed', 'the peer answered before the end of the message');
        held = [];
        heldBytes = 0;
      }
      const piece = stuffing.stuff(next.value);
      held.push(piece);
      heldBytes += piece.length;
    }
    // Whoever holds the lease now may be sending this too: without the dot our copy does not exist.
    if (!isLeaseValid()) {
      this.#giveUp(new Error('the lease ran out'));
      return false;
    }
    this.#stage = 'end';
    this.#isEndSent = true;
    await this.#session.write(joined([...held, Buffer.from(stuffing.end)]), pieceMs);
    return true;
  }

  async #nextChunk(chunks: AsyncIterator<Buffer, unknown>): Promise<IteratorResult<Buffer, unknown> | 'failed'> {
    try {
      return await chunks.next();
    } catch (cause) {
      // The message can't be read to its end, so it must not be ended.
      this.#giveUp(cause);
      return 'failed';
    }
  }

  async #readEnd(): Promise<void> {
    const { deadlines, protocol } = this.#session;
    const reply = await this.#session.reply(deadlines.endOfDataMs);
    this.#isTransactionOpen = false;
    if (protocol === 'smtp') {
      this.#settleRest({ kind: 'reply', stage: 'end', reply });
      return;
    }
    // RFC 2033 section 4.2: one reply for each recipient that was accepted, in their order.
    let next: Reply | null = reply;
    for (const [i, settled] of this.#settled.entries()) {
      if (settled !== null) continue;
      next ??= await this.#session.reply(deadlines.endOfDataMs);
      this.#settled[i] = { kind: 'reply', stage: 'end', reply: next };
      this.#endIfClosing(next);
      next = null;
    }
  }

  /** The connection broke. What the peer said before it did counts. */
  async #lost(fault: PeerFault): Promise<void> {
    if (this.#stage === 'data' || (this.#stage === 'end' && fault.kind === 'closed')) {
      const reply = await this.#session.overdueReply();
      if (reply && !isPositive(reply)) this.#settleRest({ kind: 'reply', stage: this.#stage, reply });
    }
    this.#settleRest({ kind: 'fault', stage: this.#stage, fault, isUncertain: this.#isEndSent });
    this.#session.destroy();
  }

  #giveUp(cause: unknown): void {
    this.#session.destroy();
    this.#settleRest({ kind: 'given-up', cause });
  }

  /** 421: nothing more is to be read (RFC 5321 section 3.8), and whoever has no answer has this one. */
  #endIfClosing(reply: Reply): void {
    if (reply.code !== 421) return;
    this.#settleRest({ kind: 'reply', stage: this.#stage, reply });
    throw new PeerFault('closed', 'the peer closes the connection');
  }

  #settleRest(settled: Settled): void {
    for (const [i, each] of this.#settled.entries()) this.#settled[i] = each ?? settled;
  }

  get #hasTakers(): boolean {
    return this.#settled.includes(null);
  }

  #mail(): string {
    const { envelope, content, now } = this.#transaction;
    const sizeBytes = content.prefix.length + content.rawSize;
    return mailCommand({ envelope, sizeBytes, extensions: this.#session.extensions, now });
  }

  #rcpt(recipient: OutboundRecipient): string {
    return rcptCommand(recipient, this.#session.extensions);
  }
}

function isPositive({ code }: Reply): boolean {
  return code < 300;
}

function joined(pieces: readonly Buffer[]): Buffer {
  return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
}

function notSaid(stage: Stage): Settled {
  return { kind: 'fault', stage, fault: new PeerFault('protocol', 'the peer said nothing'), isUncertain: false };
}
