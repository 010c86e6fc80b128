import { SyntaxFault } from '#shared/text/scanner.ts';
import { decodeBase64, decodeUtf8 } from './plain.ts';
import type { PasswordCredentials } from './plain.ts';

/**
 * draft-murchison-sasl-login-00: not a standard, but what some old clients know besides PLAIN. The server asks
 * "Username:" and "Password:", in base64.
 */
export const loginChallenges = {
  username: Buffer.from('Username:').toString('base64'),
  password: Buffer.from('Password:').toString('base64'),
} as const;

/** The two answers, each in base64. Throws SyntaxFault. */
export function decodeLogin(usernameLine: string, passwordLine: string): PasswordCredentials {
  const login = decodeUtf8(decodeBase64(usernameLine), 'username');
  const password = decodeUtf8(decodeBase64(passwordLine), 'password');
  if (login === '' || login.includes('\0')) throw new SyntaxFault('username', 0);
  if (password === '' || password.includes('\0')) throw new SyntaxFault('password', 0);
  return { login, password };
}
