/** A mail server of somebody else's, on loopback: keeps what it is sent, and refuses whom it is told to. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { SMTPServer } from 'smtp-server';

export type SunkMessage = { readonly from: string; readonly to: readonly string[]; readonly content: string };

export interface MailSink extends AsyncDisposable {
  readonly port: number;
  readonly messages: readonly SunkMessage[];
  /** Replies to RCPT, by address. */
  readonly refusals: Map<string, { readonly code: number; readonly text: string }>;
  /** Resolves with the first message that fits; rejects after 20 s. */
  message(fits: (message: SunkMessage) => boolean): Promise<SunkMessage>;
}

export async function startMailSink(): Promise<MailSink> {
  const messages: SunkMessage[] = [];
  const refusals = new Map<string, { code: number; text: string }>();
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    onRcptTo(address, _session, done) {
      const refusal = refusals.get(address.address);
      done(refusal === undefined ? null : Object.assign(new Error(refusal.text), { responseCode: refusal.code }));
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope;
        messages.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          content: Buffer.concat(chunks).toString('latin1'),
        });
        done();
      });
    },
  });
  server.on('error', () => undefined); // A client that hangs up.
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  return {
    port: (server.server.address() as AddressInfo).port,
    messages,
    refusals,
    async message(fits) {
      for (const deadline = performance.now() + 20_000; performance.now() < deadline; await sleep(20)) {
        const found = messages.find(fits);
        if (found !== undefined) return found;
      }
      throw new Error(`no such message; there are ${JSON.stringify(messages.map(({ from, to }) => ({ from, to })))}`);
    },
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
