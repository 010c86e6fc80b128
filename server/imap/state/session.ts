/**
 * One client's session: its connection, its state, and whether its mailbox has changed. Handlers work on it, the
 * loop in ../session drives it. Only one of them uses it at a time; a change hint and `stop` may come at any moment.
 */
import { MailError } from '#server/mail/mail-error.ts';
import type { ChangeHint } from '#server/mail/ports.ts';
import type { ModSeq } from '#shared/base/ids.ts';
import { ConnectionLost, type Connection } from '#server/wire/connection.ts';
import type { TlsContext } from '#server/wire/tls-context.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { ImapFramer } from '../grammar/framer.ts';
import type { Frame } from '../grammar/frame.ts';
import { conditionResponse, continueResponse } from '../grammar/response.ts';
import { FetchAhead } from './fetch-ahead.ts';
import type { MailboxView } from './mailbox-view.ts';
import type { ImapServices } from './services.ts';
import type { AuthenticatedState, SelectedState, SessionAccount, SessionState } from './session-state.ts';

export class ImapSession implements Disposable {
  readonly services: ImapServices;
  readonly connection: Connection;
  readonly fetchAhead: FetchAhead;
  /** Hints wake the session now, because it is in IDLE. */
  isIdling = false;
  failedLogins = 0;
  /** The account had no room for its last message: whether it has is asked before the next is taken. */
  isShortOfRoom = false;
  /** The selected mailbox may have changes that nobody hinted at. */
  #mustRefresh = false;
  /** The latest moment of which a hint came for the mailbox that is, or is about to be, selected. */
  #hintedModSeq = 0;
  /** Hints that came while the mailbox was being read. */
  readonly #heardEarly: ChangeHint[] = [];
  #logger: Logger;
  #state: SessionState = { at: 'not-authenticated' };
  #isStopping = false;
  #subscription: Disposable | null = null;
  readonly #framer = new ImapFramer();

  constructor(services: ImapServices, connection: Connection, logger: Logger) {
    this.services = services;
    this.connection = connection;
    this.fetchAhead = new FetchAhead(services.store);
    this.#logger = logger;
  }

  get logger(): Logger {
    return this.#logger;
  }

  /** The mailbox has, or may have, changes that the view doesn't know. */
  get isStale(): boolean {
    return this.#mustRefresh || (this.#state.at === 'selected' && this.#hintedModSeq > this.#state.view.modSeq);
  }

  /** A state of the mailbox from this moment on has all that is news; null: it has to be read as it is now. */
  get newsModSeq(): ModSeq | null {
    return this.#mustRefresh || this.#hintedModSeq === 0 ? null : (this.#hintedModSeq as ModSeq);
  }

  /** It has to be read again, whatever was hinted. */
  markStale(): void {
    this.#mustRefresh = true;
  }

  /** It is about to be read: what is hinted from now on is news. */
  markFresh(): void {
    this.#mustRefresh = false;
    this.#hintedModSeq = 0;
    this.fetchAhead.drop();
  }

  get state(): SessionState {
    return this.#state;
  }

  /** The server stops: the session ends at the next moment between two commands. */
  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Only where the command table lets a handler run in these states alone. */
  get authenticated(): AuthenticatedState {
    if (this.#state.at === 'authenticated' || this.#state.at === 'selected') return this.#state;
    throw new Error('the session is not authenticated');
  }

  get selected(): SelectedState {
    if (this.#state.at === 'selected') return this.#state;
    throw new Error('the session has no mailbox selected');
  }

  authenticate(account: SessionAccount): void {
    this.#state = { at: 'authenticated', account };
    this.#logger = this.#logger.child({ account: account.address });
  }

  select(view: MailboxView): void {
    for (const { mailboxIds, modSeq } of this.#heardEarly.splice(0)) {
      if (mailboxIds.includes(view.mailboxId)) this.#hintedModSeq = Math.max(this.#hintedModSeq, modSeq);
    }
    this.#state = { at: 'selected', account: this.authenticated.account, view };
  }

  /** Listens for changes of the mailbox that is about to be read and selected: whatever comes later is not missed. */
  watch(): void {
    this.#unwatch();
    this.#subscription = this.services.feed.subscribe(this.authenticated.account.accountId, (hint) =>
      this.#heard(hint),
    );
  }

  deselect(): void {
    this.#unwatch();
    this.#state = { at: 'authenticated', account: this.authenticated.account };
  }

  /** Says why, and ends the session after the present command (RFC 3501 section 7.1.5). */
  async bye(text: string): Promise<void> {
    if (this.#state.at === 'logout') return;
    this.#state = { at: 'logout' };
    await this.write(conditionResponse(null, 'BYE', text));
  }

  stop(): void {
    this.#isStopping = true;
    this.connection.interrupt();
  }

  /** For the log: a refusal that is nobody's fault, or a bug of ours with all that is known of it. */
  reportFailure(error: unknown, doing: string): void {
    if (error instanceof MailError) {
      this.#logger.debug({ event: 'imap.refuse', doing, fault: error.fault.kind }, 'refused');
    } else if (!(error instanceof ConnectionLost)) {
      this.#logger.error({ event: 'imap.failure', doing, err: error }, 'a command failed');
    }
  }

  /** A binary string, with its line ends. */
  write(text: string | Buffer): Promise<void> {
    return this.connection.write(text);
  }

  /** `+`, sent at once. */
  async continue(text: string): Promise<void> {
    await this.connection.write(continueResponse(text));
    await this.connection.flush();
  }

  /** All of the frame has to come in this time, however it drips. */
  async nextFrame(withinMs: number): Promise<Frame | 'end' | 'timeout' | 'interrupted'> {
    const { clock } = this.services;
    const endsAt = clock.monotonicMs() + withinMs;
    for (;;) {
      const frame = this.#framer.next();
      if (frame !== null) return frame;
      const leftMs = endsAt - clock.monotonicMs();
      if (leftMs <= 0) return 'timeout';
      const read = await this.connection.read(leftMs);
      if (!Buffer.isBuffer(read)) return read;
      this.#framer.push(read);
    }
  }

  /** Makes the next frame a plain line, whatever is in it. */
  expectLine(): void {
    this.#framer.expectLine();
  }

  skipLiteral(): void {
    this.#framer.skipLiteral();
  }

  /** The message of an APPEND, in pieces; ends early when the peer does, or falls silent. */
  async *literal(silenceMs: number): AsyncGenerator<Buffer, void, void> {
    while (this.#framer.literalLeft > 0) {
      const piece = this.#framer.takeLiteral();
      if (piece !== null) {
        yield piece;
        continue;
      }
      const read = await this.connection.read(silenceMs);
      if (read === 'interrupted') continue;
      if (!Buffer.isBuffer(read)) return;
      this.#framer.push(read);
    }
  }

  /** RFC 3501 section 6.2.1: nothing that came in clear counts after this. */
  async startTls(tls: TlsContext, reply: string): Promise<void> {
    this.#framer.discard();
    await this.connection.startTls(tls, reply);
    this.#framer.discard();
  }

  /** All of the message of the running APPEND was taken. */
  get hasWholeLiteral(): boolean {
    return this.#framer.literalLeft === 0;
  }

  [Symbol.dispose](): void {
    this.#unwatch();
  }

  #unwatch(): void {
    this.#subscription?.[Symbol.dispose]();
    this.#subscription = null;
    this.#heardEarly.length = 0;
    this.markFresh();
  }

  #heard(hint: ChangeHint): void {
    if (this.#state.at !== 'selected') {
      // The mailbox is being read: which one it is shows in a moment.
      this.#heardEarly.push(hint);
      return;
    }
    if (!hint.mailboxIds.includes(this.#state.view.mailboxId)) return;
    this.#hintedModSeq = Math.max(this.#hintedModSeq, hint.modSeq);
    if (this.isIdling && this.isStale) this.connection.interrupt();
  }
}
