/**
 * Nothing leaves: what would be sent is kept in the queue, marked as captured, for the administrator to see. All of
 * outbound mail in development mode, and any route that is set so.
 */
import { captureRoute, ownFacts, type Transport, type TransportLane } from '#server/mail/outbound-ports.ts';

const facts = ownFacts('captured: nothing leaves on this route');

const captureLane: TransportLane = {
  attempt: ({ recipients }) =>
    Promise.resolve({
      outcomes: recipients.map(({ id }) => ({ recipientId: id, kind: 'captured', facts })),
      pace: { kind: 'good' },
    }),
  isOpen: false,
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** The transport that captures what goes by the capture route, and hands on the rest. Null: everything is captured. */
export function capturingTransport(others: Transport | null): Transport {
  return {
    openLane: (hop) => (others === null || hop.route === captureRoute ? captureLane : others.openLane(hop)),
  };
}
