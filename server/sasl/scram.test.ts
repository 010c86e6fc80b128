import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SyntaxFault } from '#shared/text/scanner.ts';
import { clientFinal, clientFirst, formatServerFirst } from './scram-messages.ts';
import { checkProof, type ScramHash, type ScramKeys } from './scram-proof.ts';

function keysOf(hash: ScramHash, password: string, salt: Buffer, iterations: number): ScramKeys {
  const salted = pbkdf2Sync(password, salt, iterations, hash === 'sha256' ? 32 : 20, hash);
  const clientKey = createHmac(hash, salted).update('Client Key').digest();
  return {
    salt,
    iterations,
    storedKey: createHash(hash).update(clientKey).digest(),
    serverKey: createHmac(hash, salted).update('Server Key').digest(),
  };
}

const vectors = [
  {
    from: 'RFC 5802 section 5',
    hash: 'sha1',
    first: 'n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL',
    nonce: 'fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j',
    salt: 'QSXCR+Q6sek8bf92',
    serverFirst: 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096',
    final: 'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
    verifier: 'v=rmF9pqV8S7suAoZWja4dJRkFsKQ=',
  },
  {
    from: 'RFC 7677 section 3',
    hash: 'sha256',
    first: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
    nonce: 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
    salt: 'W22ZaJ0SNY7soEsUEjb6gQ==',
    serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    final: 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    verifier: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  },
] as const;

test.each(vectors)('the exchange of $from', ({ hash, first, nonce, salt, serverFirst, final, verifier }) => {
  const keys = keysOf(hash, 'pencil', Buffer.from(salt, 'base64'), 4096);
  expect(formatServerFirst(nonce, keys.salt, keys.iterations)).toBe(serverFirst);
  const read = { hash, first: clientFirst(first), serverFirst, final: clientFinal(final) };
  expect(read.final.nonce).toBe(nonce);
  expect(read.final.binding.toString()).toBe('n,,');
  expect(checkProof(read, keys)).toBe(verifier);
  expect(checkProof(read, keysOf(hash, 'pencils', keys.salt, 4096))).toBeNull();
  expect(checkProof({ ...read, serverFirst: `${serverFirst}0` }, keys)).toBeNull();
});

test('the parts of a first message', () => {
  expect(clientFirst('p=tls-exporter,a=us=2Cer,n=us=3Der=2C,r=abc,x=later')).toEqual({
    binding: { kind: 'bound', type: 'tls-exporter' },
    authzid: 'us,er',
    login: 'us=er,',
    nonce: 'abc',
    header: 'p=tls-exporter,a=us=2Cer,',
    bare: 'n=us=3Der=2C,r=abc,x=later',
  });
  expect(clientFirst('y,,n=jörg,r=abc').binding).toEqual({ kind: 'not-offered' });
});

test.each([
  ['no header', 'n=user,r=abc'],
  ['another flag', 'x,,n=user,r=abc'],
  ['an extension that must be understood', 'n,,m=ext,n=user,r=abc'],
  ['an equals sign that is no escape', 'n,,n=us=er,r=abc'],
  ['an empty name', 'n,,n=,r=abc'],
  ['no nonce', 'n,,n=user,r='],
  ['a nonce with a space', 'n,,n=user,r=a b'],
  ['a long nonce', `n,,n=user,r=${'a'.repeat(300)}`],
])('a first message with %s is refused', (_, text) => {
  expect(() => clientFirst(text)).toThrow(SyntaxFault);
});

test.each([
  ['no binding', 'r=abc,p=AAAA'],
  ['no proof', 'c=biws,r=abc'],
  ['an empty proof', 'c=biws,r=abc,p='],
  ['base64 cut off', 'c=biw,r=abc,p=AAAA'],
  ['something after the proof', 'c=biws,r=abc,p=AAAA,x=y'],
])('a final message with %s is refused', (_, text) => {
  expect(() => clientFinal(text)).toThrow(SyntaxFault);
});

test('any text is read or refused with a SyntaxFault', () => {
  const prefixes = fc.constantFrom('', 'n,,n=', 'p=tls-exporter,,n=u,r=', 'c=biws,r=abc', 'c=biws,r=,p=');
  fc.assert(
    fc.property(prefixes, fc.string({ unit: 'binary' }), (prefix, text) => {
      for (const read of [clientFirst, clientFinal]) {
        try {
          read(prefix + text);
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxFault);
        }
      }
    }),
  );
});
