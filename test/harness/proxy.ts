/** A TCP proxy on loopback whose connections a test can hold back or cut. */
import net from 'node:net';

/** The side that a chunk comes from. */
export type Side = 'client' | 'server';

export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** A database URL as it is, but through the proxy. */
  through(url: string): string;
  /** Cuts every connection. */
  cut(): void;
  /** While true new connections are closed at once. */
  refuse(refusing: boolean): void;
  /**
   * Looks at each chunk: `pass` hands it on, `drop` loses it and all that follows from that side, `cut` hands it on
   * and then cuts its connection at the client, the server's side first reading what was sent.
   */
  inspect(look: ((from: Side, chunk: Buffer) => 'pass' | 'drop' | 'cut') | null): void;
}

type Pair = { readonly client: net.Socket; readonly server: net.Socket };

/** Before the server at `target`: `host:port`, a folder with the Unix socket of a Postgres, or a database URL. */
export async function startProxy(target: string): Promise<Proxy> {
  const to = addressOf(target);
  const pairs = new Set<Pair>();
  let isRefusing = false;
  let inspect: ((from: Side, chunk: Buffer) => 'pass' | 'drop' | 'cut') | null = null;

  const listener = net.createServer((client) => {
    if (isRefusing) {
      client.destroy();
      return;
    }
    const server = net.connect(to);
    const pair = { client, server };
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    relay('client', client, server, end);
    relay('server', server, client, end);
  });

  function relay(from: Side, source: net.Socket, target: net.Socket, end: () => void): void {
    let isDropping = false;
    source.on('error', () => undefined);
    source.on('data', (chunk) => {
      if (isDropping) return;
      const verdict = inspect?.(from, chunk) ?? 'pass';
      if (verdict === 'drop') isDropping = true;
      else if (verdict === 'pass') target.write(chunk);
      else {
        // The server gets it all and its end of stream; the client learns nothing more.
        target.end(chunk);
        source.destroy();
      }
    });
    source.on('close', () => {
      if (!target.writableEnded) end();
    });
  }

  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as net.AddressInfo;
  const cut = (): void => {
    for (const { client, server } of pairs) {
      client.destroy();
      server.destroy();
    }
  };
  return {
    port,
    through(url) {
      const proxied = new URL(url);
      proxied.searchParams.delete('host');
      proxied.searchParams.delete('port');
      proxied.host = `127.0.0.1:${port}`;
      return proxied.toString();
    },
    cut,
    refuse: (refusing) => {
      isRefusing = refusing;
    },
    inspect: (look) => {
      inspect = look;
    },
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

function addressOf(target: string): net.NetConnectOpts {
  if (target.startsWith('/')) return { path: `${target}/.s.PGSQL.5432` };
  if (!target.includes('://')) {
    const at = target.lastIndexOf(':');
    return { host: target.slice(0, at), port: Number(target.slice(at + 1)) };
  }
  const url = new URL(target);
  const host = url.searchParams.get('host') ?? decodeURIComponent(url.hostname);
  const port = Number(url.searchParams.get('port') ?? (url.port || 5432));
  return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port };
}
