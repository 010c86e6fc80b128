/**
 * Reports to senders (RFC 3464, RFC 6522): who gets one and when is decided elsewhere. Every byte of them is ASCII, so
 * any server takes them; where an address or the message is not, parts are in base64 (RFC 6532, RFC 6533).
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '#shared/base/clock.ts';
import { newLogId } from '#shared/observe/logger.ts';
import { formatDateTime } from '#server/delivery/trace-header.ts';
import type { MessageSource, Notice, Notices } from '#server/mail/outbound-ports.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import { deliveryStatus, isAsciiText } from './delivery-status.ts';
import { noticeSubjects, noticeText } from './notice-text.ts';

interface NoticeSpool extends AsyncDisposable {
  write(chunk: Buffer): Promise<void> | null;
  finish(): Promise<SpooledMessage>;
}

export type NoticesOptions = {
  /** Our name. */
  readonly hostname: string;
  readonly clock: Clock;
  readonly createSpool: (maxBytes: number) => NoticeSpool;
};

/** A larger message goes back as its header alone, also where all of it was asked for (RFC 3461 section 4.3). */
const maxReturnedBytes = 1024 * 1024;
/** Where nothing was asked for. */
const maxUnaskedBytes = 64 * 1024;
const maxHeaderBytes = 256 * 1024;
const maxReportBytes = 16 * 1024 * 1024;

export function createNotices(options: NoticesOptions): Notices {
  return {
    async build(notice) {
      const report = await formatReport(notice, options);
      await using spool = options.createSpool(maxReportBytes);
      await spool.write(report);
      return spool.finish();
    },
  };
}

export async function formatReport(notice: Notice, { hostname, clock }: NoticesOptions): Promise<Buffer> {
  const { kind, message } = notice;
  const boundary = `=_${randomBytes(15).toString('base64url')}`;
  const isGlobal = message.isSmtpUtf8;
  const status = deliveryStatus(notice, { hostname, isGlobal });
  const original = message.messageId !== null && isAsciiText(message.messageId) ? message.messageId : null;
  // A sender that isn't ASCII can only be written as it is: who has such an address reads it (RFC 6532).
  const header = [
    `From: Mail Delivery System <MAILER-DAEMON@${hostname}>`,
    `To: <${message.sender}>`,
    `Subject: ${noticeSubjects[kind]}`,
    `Date: ${formatDateTime(clock.now())}`,
    `Message-ID: <${newLogId()}.${newLogId()}@${hostname}>`,
    // RFC 3834 section 5: nobody answers it.
    'Auto-Submitted: auto-replied',
    ...(original === null ? [] : [`In-Reply-To: <${original}>`, `References: <${original}>`]),
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="${boundary}"`,
  ].join('\r\n');
  const parts = [
    textPart('text/plain; charset=utf-8', noticeText(notice, hostname)),
    textPart(isGlobal ? 'message/global-delivery-status' : 'message/delivery-status', status),
    await returnedPart(notice),
  ];
  const body = parts.map((part) => `--${boundary}\r\n${part}\r\n`).join('');
  return Buffer.from(`${header}\r\n\r\n${body}--${boundary}--\r\n`);
}

async function returnedPart({ kind, message }: Notice): Promise<string> {
  const { content, ret } = message;
  const size = content.prefix.length + content.rawSize;
  // RFC 3461 section 4.3: RET is about failures alone.
  const isFull =
    kind === 'failed' && ret !== 'headers' && size <= (ret === 'full' ? maxReturnedBytes : maxUnaskedBytes);
  const bytes = await read(content, isFull ? size : maxHeaderBytes);
  const returned = isFull ? bytes : headerOf(bytes);
  const isAscii = returned.every((byte) => byte < 0x80);
  if (isFull) return isAscii ? asciiPart('message/rfc822', returned) : base64Part('message/global', returned);
  return isAscii ? asciiPart('text/rfc822-headers', returned) : base64Part('message/global-headers', returned);
}

async function read(content: MessageSource, most: number): Promise<Buffer> {
  const { prefix, rawSize } = content;
  const chunks = [prefix];
  const end = Math.min(rawSize, Math.max(0, most - prefix.length));
  for await (const chunk of content.read(0, end)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Up to the empty line, without it. */
function headerOf(bytes: Buffer): Buffer {
  const end = bytes.indexOf('\r\n\r\n');
  return end < 0 ? bytes : bytes.subarray(0, end + 2);
}

function textPart(type: string, text: string): string {
  const bytes = Buffer.from(text);
  return isAsciiText(text) ? asciiPart(type, bytes) : base64Part(type, bytes);
}

function asciiPart(type: string, bytes: Buffer): string {
  return `Content-Type: ${type}\r\n\r\n${bytes.toString('latin1')}`;
}

function base64Part(type: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,76}/g) ?? [];
  return `Content-Type: ${type}\r\nContent-Transfer-Encoding: base64\r\n\r\n${lines.join('\r\n')}\r\n`;
}
