/** Says what the client wants to hear: `node empty-loop-program.ts SMTP-PORT IMAP-PORT`. */
import { createServer, type Socket } from 'node:net';
import process from 'node:process';
import { messageMaker } from '../client/messages.ts';

const [smtpPort, imapPort] = process.argv.slice(2).map(Number);
const endOfData = Buffer.from('\r\n.\r\n');
const body = messageMaker(20 * 1024)(1);

createServer(smtpSession).listen(smtpPort, '127.0.0.1');
createServer(imapSession).listen(imapPort, '127.0.0.1');

function smtpSession(socket: Socket): void {
  let rest = Buffer.alloc(0);
  let isData = false;
  socket.on('error', () => socket.destroy());
  socket.write('220 empty\r\n');
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    let reply = '';
    for (;;) {
      const end = rest.indexOf(isData ? endOfData : '\n');
      if (end === -1) break;
      if (isData) reply += '250 kept by nobody\r\n';
      else {
        const verb = rest.toString('latin1', 0, 4).toUpperCase();
        isData = verb === 'DATA';
        reply += isData ? '354 go on\r\n' : verb === 'EHLO' ? '250-empty\r\n250 PIPELINING\r\n' : '250 ok\r\n';
        rest = rest.subarray(end + 1);
        continue;
      }
      rest = rest.subarray(end + endOfData.length);
      isData = false;
    }
    if (reply !== '') socket.write(reply);
  });
}

function imapSession(socket: Socket): void {
  let rest = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.write('* OK empty\r\n');
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const end = rest.indexOf('\r\n');
      if (end === -1) return;
      const line = rest.toString('latin1', 0, end);
      const literal = /\{(\d+)\+\}$/.exec(line);
      const length = end + 2 + (literal ? Number(literal[1]) + 2 : 0);
      if (rest.length < length) return;
      rest = rest.subarray(length);
      answer(socket, line);
    }
  });
}

function answer(socket: Socket, line: string): void {
  const [tag, verb, set = ''] = line.split(' ');
  socket.cork();
  if (verb === 'FETCH') {
    const [first = 1, last = first] = set.split(':').map(Number);
    for (let n = first; n <= last; n++) {
      socket.write(`* ${n} FETCH (BODY[] {${body.length}}\r\n`);
      socket.write(body);
      socket.write(')\r\n');
    }
  }
  if (verb === 'STORE') socket.write(`* ${set} FETCH (FLAGS (\\Flagged))\r\n`);
  socket.write(`${tag} OK done\r\n`);
  socket.uncork();
  if (verb === 'LOGOUT') socket.end();
}
