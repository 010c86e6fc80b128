/** A server that answers the same dialogues and does nothing: what the loop of sockets alone costs in Node. */
import path from 'node:path';
import process from 'node:process';
import { freePorts } from '../../harness/ports.ts';
import { Child, isListening } from './child.ts';
import type { MailServer } from './mail-server.ts';

export async function startEmptyLoop(folder: string): Promise<MailServer> {
  const [smtpPort, imapPort] = (await freePorts(2)) as [number, number];
  const file = new URL('empty-loop-program.ts', import.meta.url).pathname;
  const child = new Child({
    file: process.execPath,
    args: [file, String(smtpPort), String(imapPort)],
    logFile: path.join(folder, 'empty-loop.log'),
  });
  await child.ready(() => isListening(imapPort));
  const nothing = (): Promise<void> => Promise.resolve();
  return {
    name: 'empty-loop',
    description: 'a Node program of ours that answers the same dialogue from memory',
    smtpPort,
    imapPort,
    imapTlsPort: null,
    roots: () => [child.pid],
    loginName: (user) => user,
    settled: nothing,
    mark: nothing,
    restart: nothing,
    [Symbol.asyncDispose]: () => child.stop(),
  };
}
