/** How a next hop's number of lanes moves with what it says. Pure. */
import { unreachable } from '#shared/base/unreachable.ts';
import type { Pace } from '#server/mail/outbound-ports.ts';
import type { LaneReport, QueueLane } from '#server/mail/outbound-queue.ts';
import { hostPauseMs } from './schedule.ts';

/** After 421 and the like; twenty lanes that hear it halve their number once each, so one pause covers them. */
const slowerPauseMs = 5_000;

/** What a lane has heard of its next hop. */
export type Heard = Omit<LaneReport, 'lane' | 'isSettled'>;

export const nothingHeard: Heard = { rise: 0, fall: 1, blockedMs: null, reason: null };

/**
 * One lane more for as many good answers as there may be lanes: it doubles at most while all lanes are good, and grows by
 * one a round near the top. Half as many after 421 or 4yz to everything.
 */
export function hear(
  heard: Heard,
  pace: Pace,
  lane: Pick<QueueLane, 'maxLanes' | 'blockedTimes'>,
  random: number,
): Heard {
  switch (pace.kind) {
    case 'good':
      return { ...heard, rise: heard.rise + 1 / lane.maxLanes };
    case 'same':
      return heard;
    case 'slower':
      return { ...heard, fall: 0.5, blockedMs: slowerPauseMs, reason: pace.reason };
    case 'blocked':
      return {
        ...heard,
        rise: 0,
        fall: 0.5,
        blockedMs: pace.forMs ?? hostPauseMs(lane.blockedTimes + 1, random),
        reason: pace.reason,
      };
    default:
      return unreachable(pace);
  }
}
