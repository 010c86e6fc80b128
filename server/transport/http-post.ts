/** A message as the body of an HTTP request (POST, message/rfc822), signed as RFC 9421 has it. */
import { createHash, createHmac } from 'node:crypto';
import type { Attempt, AttemptResult, MessageSource, RecipientOutcome } from '#server/mail/outbound-ports.ts';
import type { HttpTarget } from '#server/mail/outbound-routes.ts';
import type { Clock } from '#shared/base/clock.ts';
import { ownFailure, type Failure } from './failure.ts';
import { systemCode } from './peer-fault.ts';
import { cleanText } from './smtp-reply.ts';

/** For the whole request; the other side may be storing the message. */
const timeoutMs = 5 * 60_000;
/** Bytes of the answer that are read: a line for the attempt. */
const maxAnswerBytes = 4096;

/** Answers that say "not now" though they are 4xx (RFC 9110 section 15.5, RFC 8470, RFC 6585). */
const passing: ReadonlySet<number> = new Set([401, 403, 404, 408, 409, 421, 423, 425, 429]);

/**
 * 2xx is delivered for all recipients; 4xx is never, but for those that may pass and those that say that the route
 * is set up wrongly; the rest is later. A Failure: the target can't be reached, another may do.
 */
export async function postMessage(
  target: HttpTarget,
  attempt: Attempt,
  { clock }: { readonly clock: Clock },
  elapsed: () => number,
): Promise<AttemptResult | Failure> {
  const { host } = new URL(target.url);
  const where = { host, address: null, sourceAddress: null };
  const { content } = attempt.message;
  // Nothing is sent where the message can't be read to its end.
  const digest = await digestOf(content);
  if (!attempt.isLeaseValid()) return ownFailure('4.3.0', 'the lease ran out', 'other', where);
  let response: Response;
  let text: string;
  try {
    response = await fetch(target.url, {
      method: 'POST',
      headers: headersOf(target, attempt, digest, clock.now()),
      body: ReadableStream.from(bytesOf(content)),
      // Redirects would send mail where nobody decided it may go.
      redirect: 'manual',
      signal: AbortSignal.any([attempt.signal, AbortSignal.timeout(timeoutMs)]),
      duplex: 'half',
    });
    text = await answerText(response);
  } catch (error) {
    const reason = error instanceof Error && error.cause !== undefined ? systemCode(error.cause) : systemCode(error);
    return ownFailure('4.4.1', `${host} could not be reached (${reason})`, 'connection', where);
  }
  const facts = {
    ...where,
    reply: { code: null, status: null, text: cleanText(`HTTP ${response.status} ${text}`) },
    tls: null,
    ms: elapsed(),
    isUncertain: false,
  };
  const outcomes = attempt.recipients.map(({ id: recipientId }): RecipientOutcome => {
    const { status } = response;
    if (response.ok) return { kind: 'delivered', recipientId, facts, isNotifyPassedOn: false };
    if (status >= 400 && status < 500 && !passing.has(status))
      return { kind: 'never', recipientId, facts, category: 'other' };
    return { kind: 'later', recipientId, facts, notBefore: retryAfter(response, clock.now()), category: 'other' };
  });
  if (response.ok) return { outcomes, pace: { kind: 'good' } };
  const isBusy = response.status === 429 || response.status >= 500;
  return { outcomes, pace: isBusy ? { kind: 'slower', reason: facts.reply.text } : { kind: 'same' } };
}

async function* bytesOf(content: MessageSource): AsyncGenerator<Uint8Array, void, void> {
  if (content.prefix.length > 0) yield content.prefix;
  yield* content.read(0, content.rawSize);
}

async function digestOf(content: MessageSource): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of bytesOf(content)) hash.update(chunk);
  return `sha-256=:${hash.digest('base64')}:`;
}

/**
 * The signature covers the method, the URL, the body's digest (RFC 9530) and the envelope, so that none of them can be
 * changed on the way or put with another message; `created` lets the receiver refuse what is old.
 */
function headersOf({ url, key }: HttpTarget, { message, recipients }: Attempt, digest: string, now: Date): Headers {
  const fields: Readonly<Record<string, string>> = {
    'content-digest': digest,
    'content-type': 'message/rfc822',
    'postrider-message-id': `q${message.id}`,
    'postrider-sender': encodeURI(message.returnPath ?? message.sender),
    'postrider-recipients': recipients.map(({ address }) => encodeURI(address)).join(', '),
  };
  const headers = new Headers(fields);
  if (key === null) return headers;
  const covered = ['@method', '@target-uri', ...Object.keys(fields)].map((name) => `"${name}"`).join(' ');
  const parameters = `(${covered});created=${Math.floor(now.getTime() / 1000)};alg="hmac-sha256";keyid="postrider"`;
  const base = [
    '"@method": POST',
    `"@target-uri": ${new URL(url).href}`,
    ...Object.entries(fields).map(([name, value]) => `"${name}": ${value}`),
    `"@signature-params": ${parameters}`,
  ].join('\n');
  headers.set('signature-input', `sig=${parameters}`);
  headers.set('signature', `sig=:${createHmac('sha256', key).update(base).digest('base64')}:`);
  return headers;
}

async function answerText(response: Response): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > maxAnswerBytes) break;
  }
  return text;
}

/** RFC 9110 section 10.2.3. */
function retryAfter(response: Response, now: Date): Date | null {
  const text = response.headers.get('retry-after');
  if (text === null) return null;
  const at = /^\d{1,7}$/.test(text) ? new Date(now.getTime() + Number(text) * 1000) : new Date(text);
  return Number.isNaN(at.getTime()) ? null : at;
}
