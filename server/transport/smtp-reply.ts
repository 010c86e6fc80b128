/** Replies of SMTP and LMTP servers (RFC 5321 section 4.2, RFC 2034). */
import type { OutboundReply } from '#server/mail/outbound-ports.ts';
import { PeerFault } from './peer-fault.ts';

/** Bytes of one reply; RFC 5321 section 4.5.3.1.5 has 512 a line, some peers write a page. */
const maxReplyBytes = 64 * 1024;
/** Characters of a reply's text that are kept. */
const maxTextLength = 1000;

export type Reply = {
  readonly code: number;
  /** RFC 3463; null: the peer gave none. */
  readonly status: string | null;
  /** Without the code and the status; as the peer sent them. */
  readonly lines: readonly string[];
};

const replyLine = /^([2-5]\d\d)(?:([ -])(.*))?$/s;
const statusCode = /^([245]\.\d{1,3}\.\d{1,3})(?: |$)/;

/** Takes bytes and gives whole replies, each with what is left for the next. */
export class ReplyReader {
  #held = '';

  /** Bytes that belong to no reply that was read. */
  get hasHeld(): boolean {
    return this.#held.length > 0;
  }

  push(chunk: Buffer): void {
    this.#held += chunk.toString('latin1');
  }

  /** Null: more must come. Throws PeerFault `protocol` for what is no reply. */
  next(): Reply | null {
    const lines: string[] = [];
    let at = 0;
    for (;;) {
      const end = this.#held.indexOf('\n', at);
      if (end === -1) {
        if (this.#held.length > maxReplyBytes) throw new PeerFault('protocol', 'a reply of the peer is too long');
        return null;
      }
      const line = this.#held.slice(at, end).replace(/\r$/, '');
      at = end + 1;
      const match = replyLine.exec(line);
      if (!match) throw new PeerFault('protocol', `the peer does not speak SMTP: ${cleanText(line).slice(0, 80)}`);
      lines.push(Buffer.from(match[3] ?? '', 'latin1').toString('utf8'));
      if (match[2] === '-') continue;
      this.#held = this.#held.slice(at);
      return reply(Number(match[1]), lines);
    }
  }
}

function reply(code: number, lines: readonly string[]): Reply {
  const status = statusCode.exec(lines[0] ?? '')?.[1] ?? null;
  // RFC 2034 section 4: every line begins with it, and its class is that of the code.
  const isFitting = status !== null && status.startsWith(String(code)[0] ?? '');
  return {
    code,
    status: isFitting ? status : null,
    lines: lines.map((line) => (isFitting && line.startsWith(status) ? line.slice(status.length + 1) : line)),
  };
}

/** As it is kept with the attempt and shown: one line, no controls, bounded. */
export function toOutboundReply({ code, status, lines }: Reply): OutboundReply {
  return { code, status, text: cleanText(lines.join(' ')) };
}

// Controls steer terminals, the others turn the reading direction or begin a line of their own.
const steering = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+/g;

/** What a peer wrote, for logs, reports and pages. */
export function cleanText(text: string): string {
  return text.replaceAll(steering, ' ').trim().slice(0, maxTextLength).toWellFormed();
}
