/**
 * One step of an order (RFC 8555 section 7.4), from wherever it is: it is begun, its challenges are answered, it is
 * finalized, its certificate is fetched. Everything that a restart needs is in the database before the authority is asked.
 */
import type { Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import { putChallenges, type AcmeChallenge } from '#shared/directory/acme-challenges.ts';
import type { CertificateMaterial } from '#shared/directory/certificates.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { Authorization, Order } from '#operator/acme/acme-client.ts';
import { AcmeProblem, type ProblemDocument } from '#operator/acme/acme-problem.ts';
import { certificateRequest } from '#operator/acme/certificate-request.ts';
import { newPrivateKey } from '#operator/acme/jws.ts';
import type { AcmeAccount } from './acme-account.ts';
import { putOrder, type StoredOrder } from './acme-orders.ts';

export type OrderStep = {
  readonly account: AcmeAccount;
  readonly keyring: Keyring;
  /** A transaction of the one operator that leads. */
  readonly write: <T>(work: (tx: Kysely<Database>) => Promise<T>) => Promise<T>;
  readonly owner: string;
  /** As attemptOf has it: of another one's order nothing is taken. */
  readonly attempt: string;
  readonly hosts: readonly [string, ...string[]];
  readonly stored: StoredOrder | null;
  /** RFC 9773 section 5; null: nothing is replaced. */
  readonly replaces: string | null;
};

/** `material`: it is done. Else what the order waits for, and how long at least. */
export type OrderProgress =
  | { readonly kind: 'issued'; readonly material: CertificateMaterial }
  | { readonly kind: 'waiting'; readonly message: string; readonly retryAfterMs: number };

/** Rejects with AcmeProblem or AcmeUnreachable. */
export async function stepOrder(step: OrderStep): Promise<OrderProgress> {
  const { account, stored, attempt, hosts } = step;
  account.assertThere();
  const isUnderWay = stored?.order && stored.attempt === attempt;
  const { order, privateKey } = isUnderWay
    ? { order: await account.client.order(stored.order.url), privateKey: stored.order.privateKey }
    : await begin(step);
  switch (order.status) {
    case 'pending':
      return answerChallenges(step, order);
    case 'ready': {
      const finalized = await account.client.finalize(order, await certificateRequest(privateKey, hosts));
      return finalized.status === 'valid' ? fetchCertificate(step, finalized, privateKey) : waiting(finalized);
    }
    case 'processing':
      return waiting(order);
    case 'valid':
      return fetchCertificate(step, order, privateKey);
    default:
      throw await whyInvalid(step, order);
  }
}

async function begin(step: OrderStep): Promise<{ readonly order: Order; readonly privateKey: string }> {
  const { account, keyring, write, owner, attempt, hosts, replaces } = step;
  account.assertFree();
  const order = await newOrder(account, hosts, replaces);
  const privateKey = newPrivateKey();
  await write((tx) => putOrder(tx, keyring, owner, { attempt, url: order.url, privateKey }));
  return { order, privateKey };
}

async function newOrder({ client }: AcmeAccount, hosts: readonly string[], replaces: string | null): Promise<Order> {
  try {
    return await client.newOrder(hosts, replaces);
  } catch (error) {
    const isAboutIt = replaces !== null && error instanceof AcmeProblem && error.step === 'order';
    // What it replaces is a hint that helps with limits: the authority may not know that certificate any more.
    if (!isAboutIt || !['alreadyReplaced', 'malformed', 'unauthorized'].includes(error.type)) throw error;
    return client.newOrder(hosts, null);
  }
}

async function answerChallenges(step: OrderStep, order: Order): Promise<OrderProgress> {
  const { account, write, owner } = step;
  const answers: AcmeChallenge[] = [];
  const untold: string[] = [];
  for (const at of order.authorizations) {
    const authorization = await account.client.authorization(at);
    if (authorization.status === 'valid') continue;
    if (authorization.status !== 'pending') throw whyFailed(authorization);
    const challenge = authorization.challenges.find(({ type }) => type === 'http-01');
    if (challenge?.token === undefined) throw noChallenge(authorization);
    const { token, status, url } = challenge;
    answers.push({ token, keyAuthorization: `${token}.${account.thumbprint}` });
    if (status === 'pending') untold.push(url);
  }
  // Any server answers from the commit on, and nobody asked before.
  await write((tx) => putChallenges(tx, owner, answers));
  for (const url of untold) await account.client.accept(url);
  return waiting(order);
}

async function fetchCertificate({ account }: OrderStep, order: Order, privateKey: string): Promise<OrderProgress> {
  if (order.certificate === undefined) return waiting(order);
  const certificate = await account.client.certificate(order.certificate);
  return { kind: 'issued', material: { certificate, privateKey } };
}

function waiting({ status, retryAfterMs }: Order): OrderProgress {
  const what = status === 'pending' ? 'it asks the servers on port 80' : `the order is ${status}`;
  return { kind: 'waiting', message: `waiting for the authority: ${what}`, retryAfterMs: retryAfterMs ?? 0 };
}

/** A challenge that failed says more than its order does. */
async function whyInvalid({ account }: OrderStep, order: Order): Promise<AcmeProblem> {
  for (const at of order.authorizations) {
    const authorization = await account.client.authorization(at);
    if (authorization.status === 'invalid') return whyFailed(authorization);
  }
  const document = order.error ?? unnamed('the authority says that the order is invalid, and not why');
  return new AcmeProblem(document, { step: 'order' });
}

function whyFailed({ identifier, status, challenges }: Authorization): AcmeProblem {
  const told = challenges.find(({ error }) => error !== undefined)?.error;
  const document = told ?? unnamed(`the authorization is ${status}`);
  return new AcmeProblem({ ...document, detail: `${identifier.value}: ${document.detail}` }, { step: 'challenge' });
}

function noChallenge({ identifier }: Authorization): AcmeProblem {
  return new AcmeProblem(unnamed(`${identifier.value}: the authority offers no http-01`), { step: 'challenge' });
}

function unnamed(detail: string): ProblemDocument {
  return { type: '', detail, subproblems: [] };
}
