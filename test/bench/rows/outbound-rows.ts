/** Mail that users hand in, signed, and sent out to others over TLS. */
import { sampleOf } from '../bench.ts';
import { addressOf } from '../servers/mail-server.ts';
import { deadSink, sinkCount, sinkDomain } from '../servers/sinks.ts';
import { times } from './aim.ts';
import type { Row } from './row.ts';

const sinksAt = Array.from({ length: sinkCount }, (_, n) => n + 1);
const recipients = sinksAt.map((at) => `reader@${sinkDomain(at)}`);

export const outboundRows: readonly Row[] = [
  {
    name: 'outbound-tls',
    title: 'handed in over TLS, signed (DKIM) and sent to 50 hosts over TLS, one slow, one dead; 4 KB, 20 sessions',
    unit: '/s',
    better: 'more',
    aim: times(1, 'postfix-opendkim'),
    servers: ['postrider', 'postfix-opendkim'],
    isNearOnly: true,
    async measure(bench, server) {
      const { sending } = server;
      if (sending === undefined) throw new Error(`${server.name} sends nothing out`);
      // Every host gets as many.
      const each = bench.isBrief ? 20 : bench.size(80, 20);
      const timed = await bench.timed(server, {
        kind: 'hand-in',
        port: sending.port,
        login: sending.login,
        sender: addressOf('user0'),
        recipients,
        sessions: 20,
        messages: each * sinkCount,
        bytes: 4096,
        sinks: {
          controlPort: sending.sinks.controlPort,
          expect: each * sinksAt.filter((at) => at !== deadSink).length,
        },
      });
      return sampleOf(timed, timed.outcome.count / timed.outcome.seconds);
    },
  },
];
