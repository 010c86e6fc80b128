/**
 * One SASL exchange (RFC 4422), the same for every protocol: what the client says is asked for through a dialogue, and
 * who it is comes out. It must not know how a protocol writes a challenge.
 */
import { randomBytes } from 'node:crypto';
import { unreachable } from '#shared/base/unreachable.ts';
import { SyntaxFault } from '#shared/text/scanner.ts';
import { formatBearerError, readOauthBearer, readXoauth2 } from '#server/sasl/bearer.ts';
import { readPlain } from '#server/sasl/plain.ts';
import { responseText } from '#server/sasl/response.ts';
import { clientFinal, clientFirst, formatServerFirst, type ClientFirst } from '#server/sasl/scram-messages.ts';
import { checkProof, type ScramHash, type ScramKeys } from '#server/sasl/scram-proof.ts';
import type { Authenticator, LoginOutcome } from './authenticator.ts';

/** Every mechanism there is, the strongest first, as it is announced. */
const mechanisms = [
  'SCRAM-SHA-256-PLUS',
  'SCRAM-SHA-256',
  'SCRAM-SHA-1-PLUS',
  'SCRAM-SHA-1',
  'PLAIN',
  'LOGIN',
  'OAUTHBEARER',
  'XOAUTH2',
] as const;
export type SaslMechanism = (typeof mechanisms)[number];

/** RFC 9266 and RFC 5929, in the order in which clients should use them. */
const channelBindings = ['tls-exporter', 'tls-server-end-point'];

export interface SaslDialogue {
  readonly protocol: 'imap' | 'submission';
  readonly remoteAddress: string;
  /**
   * What identifies the TLS connection, by a name of RFC 5929 or RFC 9266; null: there is none of this name here, or no
   * TLS.
   */
  readonly channelBinding: (name: string) => Buffer | null;
  /** Sends a challenge, resolves with the client's response; null: it gave up. */
  ask(challenge: Buffer): Promise<Buffer | null>;
}

/** The client ended the exchange (RFC 4954 section 4, RFC 3501 section 6.2.2). */
export class SaslCancelled extends Error {
  override readonly name = 'SaslCancelled';
}

/** The name that a client gave, for the log, and what came of it. */
export type SaslOutcome = { readonly login: string; readonly outcome: LoginOutcome };

/** Mechanisms that can be used on this connection. */
export function offeredMechanisms(
  { further }: Authenticator,
  connection: Pick<SaslDialogue, 'channelBinding'>,
): readonly SaslMechanism[] {
  const isBound = further.scram !== null && hasChannelBinding(connection);
  return mechanisms.filter((name) => {
    if (name.startsWith('SCRAM')) return further.scram !== null && (isBound || !name.endsWith('-PLUS'));
    return name === 'PLAIN' || name === 'LOGIN' || further.tokens !== null;
  });
}

/**
 * `initial` is the client's first response, null where it sent none. Throws SyntaxFault for what the mechanism's
 * grammar doesn't have, SaslCancelled, and what the authenticator throws.
 */
export function runSasl(
  mechanism: SaslMechanism,
  initial: Buffer | null,
  authenticator: Authenticator,
  dialogue: SaslDialogue,
): Promise<SaslOutcome> {
  switch (mechanism) {
    case 'PLAIN':
      return plain(initial, authenticator, dialogue);
    case 'LOGIN':
      return login(initial, authenticator, dialogue);
    case 'SCRAM-SHA-256-PLUS':
    case 'SCRAM-SHA-256':
    case 'SCRAM-SHA-1-PLUS':
    case 'SCRAM-SHA-1':
      return scram(mechanism, initial, authenticator, dialogue);
    case 'OAUTHBEARER':
    case 'XOAUTH2':
      return bearer(mechanism, initial, authenticator, dialogue);
    default:
      return unreachable(mechanism);
  }
}

const nothing = Buffer.alloc(0);

async function asked(dialogue: SaslDialogue, challenge: Buffer): Promise<Buffer> {
  const response = await dialogue.ask(challenge);
  if (response === null) throw new SaslCancelled();
  return response;
}

async function plain(initial: Buffer | null, authenticator: Authenticator, dialogue: SaslDialogue) {
  const given = readPlain(initial ?? (await asked(dialogue, nothing)));
  const { protocol, remoteAddress } = dialogue;
  const outcome = await authenticator.authenticate({ ...given, protocol, remoteAddress, mechanism: 'PLAIN' });
  return { login: given.login, outcome };
}

/** No RFC has it; the challenges are those that Outlook knows. */
async function login(initial: Buffer | null, authenticator: Authenticator, dialogue: SaslDialogue) {
  const name = responseText(initial ?? (await asked(dialogue, Buffer.from('Username:'))));
  if (name === '') throw new SyntaxFault('username', 0);
  const password = responseText(await asked(dialogue, Buffer.from('Password:')));
  const { protocol, remoteAddress } = dialogue;
  const attempt = { login: name, password, protocol, remoteAddress, mechanism: 'LOGIN' } as const;
  return { login: name, outcome: await authenticator.authenticate(attempt) };
}

async function bearer(
  mechanism: 'OAUTHBEARER' | 'XOAUTH2',
  initial: Buffer | null,
  { further: { tokens } }: Authenticator,
  dialogue: SaslDialogue,
): Promise<SaslOutcome> {
  if (tokens === null) throw new Error('tokens are not offered');
  const response = initial ?? (await asked(dialogue, nothing));
  const given = mechanism === 'OAUTHBEARER' ? readOauthBearer(response) : readXoauth2(response);
  const { protocol, remoteAddress } = dialogue;
  const outcome = await tokens.authenticate({ ...given, mechanism, protocol, remoteAddress });
  // RFC 7628 section 3.2.3: the client answers the error with nothing that matters, and is refused then.
  if (!outcome.ok) await dialogue.ask(Buffer.from(formatBearerError(tokens.configuration)));
  return { login: given.login, outcome };
}

async function scram(
  mechanism: Extract<SaslMechanism, `SCRAM-${string}`>,
  initial: Buffer | null,
  { further: { scram: logins } }: Authenticator,
  dialogue: SaslDialogue,
): Promise<SaslOutcome> {
  if (logins === null) throw new Error('SCRAM is not offered');
  const hash: ScramHash = mechanism.startsWith('SCRAM-SHA-256') ? 'sha256' : 'sha1';
  const first = clientFirst(responseText(initial ?? (await asked(dialogue, nothing))));
  const binding = expectedBinding(mechanism.endsWith('-PLUS'), first, dialogue);
  if (first.authzid !== '' && first.authzid.toLowerCase() !== first.login.toLowerCase()) {
    throw new SyntaxFault('authzid', 0);
  }
  const { login: name } = first;
  const { protocol, remoteAddress } = dialogue;
  const exchange = await logins.begin({ login: name, mechanism, hash, protocol, remoteAddress });
  const { salt, iterations } = exchange.keys[0];
  const nonce = first.nonce + randomBytes(18).toString('base64');
  const serverFirst = formatServerFirst(nonce, salt, iterations);
  const final = clientFinal(responseText(await asked(dialogue, Buffer.from(serverFirst))));
  const isSameExchange = final.nonce === nonce && binding !== null && final.binding.equals(binding);
  const proofOf = (keys: ScramKeys): string | null => checkProof({ hash, first, serverFirst, final }, keys);
  const proven = isSameExchange ? (exchange.keys.find((keys) => proofOf(keys) !== null) ?? null) : null;
  const verifier = proven === null ? null : proofOf(proven);
  const outcome = exchange.settle(proven);
  // RFC 5802 section 3: the server shows too that it knows the password, and the client answers with nothing.
  if (outcome.ok && verifier !== null) await asked(dialogue, Buffer.from(verifier));
  return { login: name, outcome };
}

/** RFC 5802 section 6: what "c=" must hold; null: nothing that it holds is right. */
function expectedBinding(isPlus: boolean, first: ClientFirst, dialogue: SaslDialogue): Buffer | null {
  const { binding, header } = first;
  if (isPlus !== (binding.kind === 'bound')) throw new SyntaxFault('gs2-cbind-flag', 0);
  switch (binding.kind) {
    case 'none':
      return Buffer.from(header);
    case 'not-offered':
      // It was offered wherever there is one: somebody between us took it out of our announcement.
      return hasChannelBinding(dialogue) ? null : Buffer.from(header);
    case 'bound': {
      const data = dialogue.channelBinding(binding.type);
      return data === null ? null : Buffer.concat([Buffer.from(header), data]);
    }
    default:
      return unreachable(binding);
  }
}

function hasChannelBinding({ channelBinding }: Pick<SaslDialogue, 'channelBinding'>): boolean {
  return channelBindings.some((name) => channelBinding(name) !== null);
}
