import type { Scanner } from '#shared/text/scanner.ts';
import type { SequenceSet, SeqNumber } from './command.ts';

/**
 * sequence-set = (seq-number / seq-range) *("," sequence-set)   (RFC 3501 section 9)
 *
 * Order and overlap are kept as the client wrote them: only the session knows what '*' means.
 */
export function sequenceSet(s: Scanner): SequenceSet {
  const ranges: (readonly [SeqNumber, SeqNumber])[] = [];
  do {
    const first = seqNumber(s);
    ranges.push([first, s.take(':') ? seqNumber(s) : first]);
  } while (s.take(','));
  return ranges;
}

/** seq-number = nz-number / "*" */
function seqNumber(s: Scanner): SeqNumber {
  return s.take('*') ? '*' : s.nzNumber('sequence-set');
}

export function formatSequenceSet(set: SequenceSet): string {
  return set.map(([first, last]) => (first === last ? `${first}` : `${first}:${last}`)).join(',');
}
