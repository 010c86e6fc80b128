import { FieldLexer } from './field-lexer.ts';

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** Longer than any date with its comments; bounds the search. */
const maxLength = 200;

/** RFC 5322 section 4.3 "obs-zone", in minutes; the military letters count as unknown, so as UTC. */
const namedZones: Readonly<Record<string, number>> = {
  edt: -240,
  est: -300,
  cdt: -300,
  cst: -360,
  mdt: -360,
  mst: -420,
  pdt: -420,
  pst: -480,
};

/**
 * RFC 5322 section 3.3 "date-time" with the obsolete forms of section 4.3. `day` is the calendar day as
 * written, YYYY-MM-DD, whatever the zone. Null where day, month, year or time can't be read.
 */
export function parseDateTime(text: string): { readonly at: Date; readonly day: string } | null {
  const plain = withoutComments(text.slice(0, maxLength));
  const match =
    /^(?:[a-z]+\.?\s*,?\s*)?(\d{1,2})[\s-]+([a-z]{3})[a-z]*\.?[\s-]+(\d{2,4})[\s,]+(\d{1,2})\s*[:.]\s*(\d{1,2})(?:\s*[:.]\s*(\d{1,2}))?\s*([+-]\d{4}|[a-z]+)?/i.exec(
      plain,
    );
  if (!match) return null;
  const day = Number(match[1]);
  const month = months.indexOf((match[2] ?? '').toLowerCase());
  const year = fullYear(match[3] ?? '');
  const [hour, minute, second] = [Number(match[4]), Number(match[5]), Number(match[6] ?? 0)];
  // A leap second, 60, rolls over into the next minute.
  if (month < 0 || hour > 23 || minute > 59 || second > 60) return null;
  const midnight = Date.UTC(year, month, day);
  if (new Date(midnight).getUTCDate() !== day) return null;
  const minutes = hour * 60 + minute - zoneMinutes(match[7] ?? '');
  return {
    at: new Date(midnight + minutes * 60_000 + second * 1000),
    day: new Date(midnight).toISOString().slice(0, 10),
  };
}

/** RFC 5322 section 4.3: two digits are 1950 to 2049, three count from 1900. */
function fullYear(digits: string): number {
  const year = Number(digits);
  if (digits.length === 2) return year < 50 ? 2000 + year : 1900 + year;
  return digits.length === 3 ? 1900 + year : year;
}

function zoneMinutes(zone: string): number {
  if (!/^[+-]/.test(zone)) return namedZones[zone.toLowerCase()] ?? 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3));
  return zone.startsWith('-') ? -minutes : minutes;
}

function withoutComments(text: string): string {
  if (!text.includes('(')) return text.trim();
  const lexer = new FieldLexer(text);
  let plain = '';
  while (!lexer.done) {
    lexer.skipCfws();
    plain += ` ${lexer.word('(')}`;
  }
  return plain.trim();
}
