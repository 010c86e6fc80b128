import { once } from 'node:events';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { issue, makeAuthority } from '#operator/domain/authority.ts';
import { AcmeClient } from './acme-client.ts';
import { newPrivateKey, readAccountKey } from './jws.ts';

/** An authority that leaves challenges pending; resolves with the paths of the requests that it had. */
async function startAuthority(stack: AsyncDisposableStack) {
  const authority = await makeAuthority('test', new Date());
  const { certificate: cert, privateKey: key } = await issue(authority, ['localhost'], new Date());
  const asked: string[] = [];
  const server = https.createServer({ cert, key }, (request, response) => {
    const path = request.url ?? '';
    const url = (name: string): string => `https://localhost:${(server.address() as AddressInfo).port}/${name}`;
    const directory = { newNonce: url('nonce'), newAccount: url('account'), newOrder: url('order') };
    const body = path === '/directory' ? directory : { status: 'valid' };
    asked.push(path);
    request.resume().on('end', () => {
      response.writeHead(200, { 'replay-nonce': `n${asked.length}`, location: url('account/1') });
      response.end(request.method === 'HEAD' ? undefined : JSON.stringify(body));
    });
  });
  stack.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `https://localhost:${(server.address() as AddressInfo).port}`;
  return { base, asked, caBundle: authority.certificate };
}

test('an authority is told once that an answer is there, however often its order is looked at', async () => {
  await using stack = new AsyncDisposableStack();
  const { base, asked, caBundle } = await startAuthority(stack);
  const key = readAccountKey(newPrivateKey());
  const client = stack.use(
    new AcmeClient({ directoryUrl: `${base}/directory`, caBundle, key, contacts: [], binding: null }),
  );
  for (const name of ['one', 'one', 'two', 'one']) await client.accept(`${base}/challenge/${name}`);
  expect(asked.filter((path) => path.startsWith('/challenge'))).toEqual(['/challenge/one', '/challenge/two']);
});
