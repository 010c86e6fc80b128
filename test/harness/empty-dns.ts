/** A DNS server on loopback that knows no name at all. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import packet from 'dns-packet';

export interface EmptyDns extends AsyncDisposable {
  /** As DNS_SERVERS has it. */
  readonly server: string;
}

const nxDomain = 3;

export async function startEmptyDns(): Promise<EmptyDns> {
  const socket = createSocket('udp4');
  socket.on('message', (bytes, { address, port }) => {
    const { id = 0, questions = [] } = packet.decode(bytes);
    const flags = packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | nxDomain;
    socket.send(packet.encode({ type: 'response', id, flags, questions }), port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    server: `127.0.0.1:${socket.address().port}`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}
