import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SyntaxFault } from '#shared/text/scanner.ts';
import { formatBearerError, readOauthBearer, readXoauth2 } from './bearer.ts';

test('OAUTHBEARER, the example of RFC 7628 section 4.1', () => {
  const response =
    'n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01';
  expect(readOauthBearer(Buffer.from(response))).toEqual({
    login: 'user@example.com',
    token: 'vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==',
  });
});

test('OAUTHBEARER without a name, and with an escaped one', () => {
  expect(readOauthBearer(Buffer.from('n,,\x01auth=bearer abc\x01\x01'))).toEqual({ login: '', token: 'abc' });
  expect(readOauthBearer(Buffer.from('n,a=a=2Cb=3Dc,\x01auth=Bearer abc\x01\x01')).login).toBe('a,b=c');
});

test('XOAUTH2, as its makers document it', () => {
  const response = 'user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01';
  expect(readXoauth2(Buffer.from(response))).toEqual({
    login: 'someuser@example.com',
    token: 'ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg',
  });
});

test.each([
  ['the answer to an error', readOauthBearer, '\x01'],
  ['channel binding', readOauthBearer, 'p=tls-exporter,,\x01auth=Bearer abc\x01\x01'],
  ['no token', readOauthBearer, 'n,,\x01host=x\x01\x01'],
  ['two tokens', readOauthBearer, 'n,,\x01auth=Bearer abc\x01auth=Bearer def\x01\x01'],
  ['another scheme', readOauthBearer, 'n,,\x01auth=Basic abc\x01\x01'],
  ['one end missing', readOauthBearer, 'n,,\x01auth=Bearer abc\x01'],
  ['no user', readXoauth2, 'auth=Bearer abc\x01\x01'],
  ['no token', readXoauth2, 'user=a\x01\x01'],
  ['a token with a space in it', readXoauth2, 'user=a\x01auth=Bearer a b\x01\x01'],
])('%s is refused', (_, read, text) => {
  expect(() => read(Buffer.from(text))).toThrow(SyntaxFault);
});

test('any bytes are read or refused with a SyntaxFault', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('n,,\x01', 'n,a=x,\x01auth=', 'user=a\x01'),
      fc.string({ unit: 'binary' }),
      (start, rest) => {
        for (const read of [readOauthBearer, readXoauth2]) {
          try {
            expect(read(Buffer.from(start + rest)).token).not.toBe('');
          } catch (error) {
            expect(error).toBeInstanceOf(SyntaxFault);
          }
        }
      },
    ),
  );
});

test('the error tells where to look for a token', () => {
  expect(JSON.parse(formatBearerError('https://issuer.test/.well-known/openid-configuration'))).toEqual({
    status: 'invalid_token',
    'openid-configuration': 'https://issuer.test/.well-known/openid-configuration',
  });
  expect(JSON.parse(formatBearerError(null))).toEqual({ status: 'invalid_token' });
});
