/** The body of a watch: one JSON object a line, as they happen. */
import type { IncomingMessage } from 'node:http';
import { connectionFault } from './http-transport.ts';
import { KubeError, kubeErrorOfStatus, type StatusBody } from './kube-error.ts';

/** Bytes of one event; etcd holds objects of at most 1.5 MiB. */
const maxLineBytes = 16 * 1024 * 1024;
const lineFeed = 0x0a;

export type RawEvent = { readonly type: string; readonly object: unknown };

/**
 * The events of a watch. Ends when the server ends it between two events; throws a KubeError where it is cut, where
 * nothing was heard for `idleMs` (`Idle`), for what is no JSON, and for the server's own ERROR event (410: expired).
 */
export async function* watchEvents(
  body: IncomingMessage,
  options: { readonly idleMs: number; readonly what: string; readonly signal?: AbortSignal },
): AsyncGenerator<RawEvent> {
  const { idleMs, what, signal } = options;
  const silent = (): void => {
    body.destroy(new KubeError({ status: 0, reason: 'Idle', message: `${what}: nothing heard for ${idleMs} ms` }));
  };
  const timer = setTimeout(silent, idleMs);
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      timer.refresh();
      let start = 0;
      for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
        const line = Buffer.concat([...pending, chunk.subarray(start, end)]).toString('utf8');
        pending = [];
        pendingBytes = 0;
        start = end + 1;
        if (line !== '') yield parseEvent(line, what);
      }
      if (start < chunk.length) pending.push(chunk.subarray(start));
      pendingBytes += chunk.length - start;
      if (pendingBytes > maxLineBytes) throw broken(what, `an event of more than ${maxLineBytes} bytes`);
    }
    if (pendingBytes > 0) throw broken(what, 'cut in the middle of an event');
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw connectionFault(error, what);
  } finally {
    clearTimeout(timer);
    body.destroy();
  }
}

function parseEvent(line: string, what: string): RawEvent {
  let event: RawEvent;
  try {
    event = JSON.parse(line) as RawEvent;
  } catch (cause) {
    throw broken(what, `an event that is no JSON (${(cause as Error).message})`);
  }
  if (event.type === 'ERROR') throw kubeErrorOfStatus(event.object as StatusBody, what);
  return event;
}

function broken(what: string, message: string): KubeError {
  return new KubeError({ status: 0, reason: 'Unreachable', message: `${what}: ${message}` });
}
