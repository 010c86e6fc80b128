/** DATA: from the socket into the spool, through the rules, into the store. The reply is the caller's. */
import type { Readable } from 'node:stream';
import type { SMTPServerSession } from 'smtp-server';
import type { Clock } from '#shared/base/clock.ts';
import { newLogId, type Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import type { MailStore, SpooledMessage } from '#server/mail/ports.ts';
import type { Spool, SpoolArea } from '#server/wire/spool.ts';
import { noBytes, type ByteFilter } from '#server/delivery/byte-filter.ts';
import { judgeContent } from '#server/delivery/content-rules.ts';
import type { InboundReports } from '#server/bounce/inbound-reports.ts';
import { deliverMessage, deliveriesOf } from '#server/delivery/deliver-message.ts';
import { forwardOf } from '#server/delivery/forward.ts';
import type { Accepted, MailAcceptor, NewRecipient } from '#server/mail/outbound-ports.ts';
import type { ArcSealer } from '#server/signing/arc-sealer.ts';
import type { Handed, Submission } from '#server/submission/submit.ts';
import { LineNormaliser } from '#server/delivery/line-normaliser.ts';
import { maxAddedHeaderBytes, SubmissionHeader } from '#server/delivery/submission-header.ts';
import type { TraceFacts, TransmissionType } from '#server/delivery/trace-header.ts';
import { contentReply, errorReply, replies, SmtpRefusal } from './fault-to-reply.ts';
import type { SmtpOptions } from './smtp-options.ts';
import { transactionOf, userOf, type Transaction } from './transaction.ts';

export type ReceiveServices = {
  readonly store: MailStore;
  /** Takes what our users hand in; null: as from anybody else, and nothing goes to other systems. */
  readonly submission: Submission | null;
  /** Takes what aliases send on. */
  readonly acceptor: MailAcceptor;
  /** Learns from reports that come in; null: nobody does. */
  readonly reports: InboundReports | null;
  /** Seals what goes on to addresses elsewhere; null: nobody does. */
  readonly sealer: ArcSealer | null;
  readonly spools: SpoolArea;
  readonly clock: Clock;
  readonly metrics: Metrics;
};

/** The connection was lost before the message was whole: there is nobody to answer, and nothing is stored. */
export class MessageCut extends Error {
  override readonly name = 'MessageCut';
}

/** The message's id in the log, and the ids under which it waits to go out. */
export type Received = { readonly id: string; readonly queued: Accepted['queued'] };

/**
 * Reads one message and stores it. Resolves with its id when it is committed for every recipient; refuses with
 * SmtpRefusal or MailError after the message was read to its end.
 */
export async function receiveMessage(
  stream: Readable,
  session: SMTPServerSession,
  services: ReceiveServices,
  options: SmtpOptions,
  log: Logger,
): Promise<Received> {
  const { clock, metrics, spools } = services;
  const id = newLogId();
  const transaction = transactionOf(session);
  const isSubmission = options.kind === 'submission' || userOf(session) !== null;
  const filters: ByteFilter[] = [];
  if (options.normaliseLineEndings) filters.push(new LineNormaliser());
  const header = isSubmission ? submissionHeader(id, options, clock) : null;
  if (header !== null) filters.push(header);
  const most = Math.min(options.maxMessageBytes, transaction.maxMessageBytes ?? options.maxMessageBytes);
  await using spool = spools.createSpool(most + (isSubmission ? maxAddedHeaderBytes : 0));
  await readInto(stream, filters, spool);
  const endedAt = clock.monotonicMs();
  const listener = options.name;
  metrics.messagesReceived.inc({ listener });
  metrics.bytesReceived.inc({ listener }, spool.size);
  log.info(
    {
      event: 'msg.received',
      message: id,
      bytes: spool.size,
      sender: transaction.sender,
      recipients: transaction.recipients.size + transaction.remote.size,
    },
    'message received',
  );
  try {
    await using message = await spool.finish();
    const verdict = judgeContent(message.index);
    if (verdict.kind === 'refuse') throw new SmtpRefusal(contentReply(verdict.reason));
    const facts = traceFacts(id, session, transaction, options, clock.now());
    const local = [...transaction.recipients.values()].flat();
    const { delivered, queued } =
      isSubmission && services.submission !== null
        ? await services.submission.submit({
            message,
            ...submitterOf(session),
            facts,
            local,
            remote: remoteRecipients(transaction),
            receipts: transaction.receipts,
            options: transaction.options,
            isSmtpUtf8: session.envelope.smtpUtf8 === true,
            blindFields: header?.blindFields ?? '',
          })
        : await acceptForOthers(message, transaction, facts, services, session.envelope.smtpUtf8 === true);
    const about = { message: id, blob: message.hash, mailboxes: delivered.length, queued: queued.map(String) };
    log.info({ event: 'msg.stored', ...about }, 'message stored');
    if (!isSubmission) await services.reports?.learn(message, transaction.sent, log);
    return { id, queued };
  } catch (error) {
    const { code, status } = errorReply(error) ?? replies.internalError;
    log.info({ event: 'msg.refused', message: id, code, status }, 'message not stored');
    throw error;
  } finally {
    metrics.smtpDataSeconds.observe({ listener }, (clock.monotonicMs() - endedAt) / 1000);
  }
}

function submitterOf(session: SMTPServerSession): Pick<Handed, 'accountId' | 'credentialId'> {
  const user = userOf(session);
  if (user === null) return { accountId: null, credentialId: null };
  return user.accountId === null ? user : { accountId: user.accountId, credentialId: null };
}

/** Those named, and those that aliases here name. */
function remoteRecipients({ remote, forwards }: Transaction): readonly NewRecipient[] {
  const forwarded = [...forwards.keys()].filter((address) => !remote.has(address));
  return [...remote.values(), ...forwarded.map((address) => ({ address, notify: null, orcpt: null }))];
}

/** For accounts here, and for the addresses elsewhere that their aliases name. */
async function acceptForOthers(
  message: SpooledMessage,
  { recipients, forwards }: Transaction,
  facts: TraceFacts,
  { store, acceptor, sealer }: ReceiveServices,
  isSmtpUtf8: boolean,
): Promise<Accepted> {
  const local = [...recipients.values()].flat();
  if (forwards.size === 0) {
    return { delivered: await deliverMessage(store, message, local, facts), queued: [] };
  }
  const forward = await forwardOf(message, forwards, facts, isSmtpUtf8);
  const seal = (await sealer?.seal(message, facts, forward.envelope.domain)) ?? noBytes;
  const sealed = { ...forward, prefix: Buffer.concat([seal, forward.prefix]) };
  return acceptor.accept(message, deliveriesOf(local, facts), [sealed]);
}

function submissionHeader(id: string, { hostname }: SmtpOptions, clock: Clock): SubmissionHeader {
  return new SubmissionHeader({
    date: clock.now(),
    messageIdLeft: `${id}.${newLogId()}`,
    messageIdRight: hostname,
  });
}

/** Rejects with MessageCut when the stream ends early; another error of ours is told only at the end of the message. */
function readInto(stream: Readable, filters: readonly ByteFilter[], spool: Spool): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: unknown = null;
    const fail = (error: unknown): void => {
      failure ??= error;
      stream.resume();
    };
    stream.on('data', (chunk: Buffer) => {
      if (failure !== null) return;
      try {
        const bytes = filters.reduce((passed, filter) => filter.push(passed), chunk);
        const writing = bytes.length === 0 ? null : spool.write(bytes);
        if (writing === null) return;
        stream.pause();
        writing.then(() => stream.resume(), fail);
      } catch (error) {
        fail(error);
      }
    });
    // The library gives this error only where somebody listens; 'close' follows and says all there is to say.
    stream.on('error', () => stream.destroy());
    const cut = (): void => reject(new MessageCut());
    stream.on('close', cut);
    stream.on('end', () => {
      stream.off('close', cut);
      if (failure !== null) reject(failure);
      else flushInto(filters, spool).then(resolve, reject);
    });
  });
}

async function flushInto(filters: readonly ByteFilter[], spool: Spool): Promise<void> {
  for (const [at, filter] of filters.entries()) {
    const bytes = filters.slice(at + 1).reduce((passed, next) => next.push(passed), filter.finish());
    if (bytes.length > 0) await spool.write(bytes);
  }
}

function traceFacts(
  id: string,
  session: SMTPServerSession,
  transaction: Transaction,
  options: SmtpOptions,
  receivedAt: Date,
): TraceFacts {
  const { tlsOptions } = session;
  return {
    id,
    helo: session.hostNameAppearsAs || null,
    remoteAddress: session.remoteAddress,
    hostname: options.hostname,
    protocol: transmissionType(session),
    tls: tlsOptions ? { version: tlsOptions.version, cipher: tlsOptions.name } : null,
    receivedAt,
    sender: transaction.sender,
    recipients: [...transaction.recipients.keys(), ...transaction.remote.keys()],
  };
}

/** RFC 3848; RFC 6531 section 4.3 where SMTPUTF8 was used. */
function transmissionType(session: SMTPServerSession): TransmissionType {
  if (session.openingCommand !== 'EHLO') return 'SMTP';
  const base = session.envelope.smtpUtf8 === true ? 'UTF8SMTP' : 'ESMTP';
  if (userOf(session) === null) return session.secure ? `${base}S` : base;
  return session.secure ? `${base}SA` : `${base}A`;
}
