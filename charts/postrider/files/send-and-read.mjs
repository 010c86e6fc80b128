/** Of `helm test`: hands in a message over SUBMISSION (STARTTLS, a login) and reads it over IMAP (TLS). */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';

const { SUBMISSION, IMAP, ADDRESS, PASSWORD_FILE } = process.env;
const password = readFileSync(PASSWORD_FILE, 'utf8').trim();
const mark = randomUUID();
const patienceMs = 180_000;
/** Certificates of a fresh installation are signed by nobody whom this pod knows. */
const anyCertificate = { rejectUnauthorized: false };

/** A connection as lines: `say` writes one, `hear` reads up to the line that fits. */
function dialogue(socket) {
  let text = '';
  let wake = () => undefined;
  let failure = null;
  const heard = (chunk) => {
    text += chunk.toString('latin1');
    wake();
  };
  const failed = (error) => {
    failure ??= error ?? new Error('the connection ended');
    wake();
  };
  socket.on('data', heard).once('error', failed).once('end', () => failed(null));
  socket.setTimeout(20_000, () => socket.destroy(new Error('no answer for 20 s')));
  return {
    say: (line) => socket.write(`${line}\r\n`),
    async hear(pattern) {
      for (;;) {
        for (let end = text.indexOf('\r\n'); end !== -1; end = text.indexOf('\r\n')) {
          const line = text.slice(0, end);
          text = text.slice(end + 2);
          if (pattern.test(line)) return line;
          if (/^(?:[45]\d\d[ -]|a\d+ (?:NO|BAD))/.test(line)) throw new Error(`refused: ${line}`);
        }
        if (failure) throw failure;
        await new Promise((resolve) => (wake = resolve));
      }
    },
    release: () => socket.removeAllListeners('data'),
    end: () => socket.destroy(),
  };
}

function parts(endpoint) {
  const at = endpoint.lastIndexOf(':');
  return { host: endpoint.slice(0, at), port: Number(endpoint.slice(at + 1)) };
}

async function send() {
  const { host, port } = parts(SUBMISSION);
  const plainSocket = net.connect(port, host);
  const plain = dialogue(plainSocket);
  await plain.hear(/^220 /);
  plain.say('EHLO helm-test.invalid');
  await plain.hear(/^250 /);
  plain.say('STARTTLS');
  await plain.hear(/^220 /);
  plain.release();
  const secure = dialogue(tls.connect({ socket: plainSocket, servername: host, ...anyCertificate }));
  secure.say('EHLO helm-test.invalid');
  await secure.hear(/^250 /);
  secure.say(`AUTH PLAIN ${Buffer.from(`\0${ADDRESS}\0${password}`).toString('base64')}`);
  await secure.hear(/^235 /);
  secure.say(`MAIL FROM:<${ADDRESS}>`);
  await secure.hear(/^250 /);
  secure.say(`RCPT TO:<${ADDRESS}>`);
  await secure.hear(/^250 /);
  secure.say('DATA');
  await secure.hear(/^354 /);
  const head = `From: <${ADDRESS}>\r\nTo: <${ADDRESS}>\r\nSubject: helm test ${mark}`;
  secure.say(`${head}\r\nDate: ${new Date().toUTCString()}\r\nMessage-ID: <${mark}@helm-test.invalid>\r\n\r\nIt works.\r\n.`);
  await secure.hear(/^250 /);
  secure.end();
}

async function isThere() {
  const { host, port } = parts(IMAP);
  const imap = dialogue(tls.connect({ host, port, servername: host, ...anyCertificate }));
  try {
    await imap.hear(/^\* OK/);
    imap.say(`a1 LOGIN "${ADDRESS}" "${password.replaceAll(/["\\]/g, String.raw`\$&`)}"`);
    await imap.hear(/^a1 OK/);
    imap.say('a2 SELECT INBOX');
    await imap.hear(/^a2 OK/);
    imap.say(`a3 SEARCH SUBJECT "${mark}"`);
    const found = await imap.hear(/^\* E?SEARCH/);
    await imap.hear(/^a3 OK/);
    return /\d$/.test(found);
  } finally {
    imap.end();
  }
}

/** A new login may be refused for a moment, until the operator has written it. */
async function patiently(what, work) {
  const end = Date.now() + patienceMs;
  for (;;) {
    try {
      if (await work()) return;
      if (Date.now() > end) throw new Error(`${what}: not within ${patienceMs / 1000} s`);
    } catch (error) {
      if (Date.now() > end) throw error;
      console.log(`${what}: ${error.message}; once more`);
    }
    await sleep(1_000);
  }
}

await patiently('send', async () => {
  await send();
  return true;
});
console.log(`sent a message as ${ADDRESS} over ${SUBMISSION}`);
await patiently('read', isThere);
console.log(`read it over ${IMAP}`);
