/** Recipients that are done, as the arguments of the SQL function outbound_finish. */
import type { Settlement } from '#server/mail/outbound-queue.ts';
import { boolArray, int4Array, int8Array, textArray, tidArray } from './binary-array.ts';
import { cleanText } from './pg-queue-rows.ts';

export type EncodedFinish = {
  readonly values: readonly unknown[];
  /** Those that it can't take. */
  readonly others: readonly Settlement[];
};

/** What attempts have in common; each attempt looks through them. */
const mostFacts = 32;

/** Null: it takes none of them. */
export function encodeFinish(settlements: readonly Settlement[]): EncodedFinish | null {
  const facts = new Map<string, { readonly number: number; readonly settlement: Settlement }>();
  const done: { readonly settlement: Settlement; readonly fact: number }[] = [];
  const others: Settlement[] = [];
  for (const settlement of settlements) {
    const key = settlement.next === 'gone' ? keyOf(settlement) : null;
    let fact = key === null ? undefined : facts.get(key)?.number;
    if (key !== null && fact === undefined && facts.size < mostFacts) {
      fact = facts.size + 1;
      facts.set(key, { number: fact, settlement });
    }
    if (fact === undefined) others.push(settlement);
    else done.push({ settlement, fact });
  }
  return done.length === 0 ? null : { values: encode(done, [...facts.values()]), others };
}

function keyOf({ outcome, category, facts }: Settlement): string {
  if (facts === null) return `${outcome}\0${category}`;
  const { reply, host, address, sourceAddress, tls, isUncertain } = facts;
  const said = `${outcome}\0${category}\0${isUncertain}\0${reply.code}\0${reply.status}\0${host}\0${address}\0${sourceAddress}`;
  return tls === null
    ? said
    : `${said}\0${tls.version}\0${tls.cipher}\0${tls.policy}\0${tls.isVerified}\0${tls.result}`;
}

function encode(
  done: readonly { readonly settlement: Settlement; readonly fact: number }[],
  facts: readonly { readonly settlement: Settlement }[],
): readonly unknown[] {
  const inHand = done.map(({ settlement }) => settlement.inHand);
  const text = (of: (each: Settlement) => string | null | undefined): Buffer =>
    textArray(facts.map(({ settlement }) => cleanText(of(settlement) ?? null)));
  return [
    int8Array(inHand.map(({ token }) => token)),
    int8Array(inHand.map(({ recipient }) => recipient.id)),
    tidArray(inHand.map(({ place }) => place)),
    int4Array(done.map(({ fact }) => fact)),
    textArray(done.map(({ settlement }) => cleanText(settlement.facts?.reply.text ?? null))),
    int4Array(done.map(({ settlement }) => (settlement.facts ? Math.round(settlement.facts.ms) : null))),
    text(({ outcome }) => outcome),
    text(({ category }) => category),
    boolArray(facts.map(({ settlement }) => settlement.facts?.isUncertain ?? false)),
    int4Array(facts.map(({ settlement }) => settlement.facts?.reply.code ?? null)),
    text((each) => each.facts?.reply.status),
    text((each) => each.facts?.host),
    text((each) => each.facts?.address),
    text((each) => each.facts?.sourceAddress),
    text((each) => each.facts?.tls?.version),
    text((each) => each.facts?.tls?.cipher),
    text((each) => each.facts?.tls?.policy),
    boolArray(facts.map(({ settlement }) => settlement.facts?.tls?.isVerified ?? null)),
    text((each) => each.facts?.tls?.result),
  ];
}

const types = 'int8 int8 tid int4 text int4 text text bool int4 text text text text text text text bool text';
const argumentList = types.split(' ').map((type, at) => `$${at + 1}::${type}[]`);

export const finishStatement = `/*outbound-finish*/ select outbound_finish(${argumentList.join(', ')}) as others`;
