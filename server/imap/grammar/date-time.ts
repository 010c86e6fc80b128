import type { Scanner } from '#shared/text/scanner.ts';

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** The month's place in the year, from 0; -1 when there is no such. */
function monthOf(name: string): number {
  return months.indexOf(name.slice(0, 1).toUpperCase() + name.slice(1).toLowerCase());
}

/** Midnight of the day in UTC, in milliseconds; null when the calendar doesn't have it. */
function dayStart(year: number, month: number, day: number): number | null {
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  return month >= 0 && date.getUTCMonth() === month && date.getUTCDate() === day ? date.getTime() : null;
}

/** date = date-text / DQUOTE date-text DQUOTE, date-text = date-day "-" date-month "-" date-year; as YYYY-MM-DD. */
export function date(s: Scanner): string {
  const rule = 'date, such as 1-Feb-2026';
  const found = s.match(/("?)(\d{1,2})-([A-Za-z]{3})-(\d{4})\1/y) ?? s.fail(rule);
  const start = dayStart(Number(found[4]), monthOf(found[3] ?? ''), Number(found[2]));
  if (start === null) return s.fail('a day of the calendar before this');
  return new Date(start).toISOString().slice(0, 10);
}

/** `day` is YYYY-MM-DD. */
export function formatDate(day: string): string {
  const [year, month, date] = day.split('-');
  return `${Number(date)}-${months[Number(month) - 1]}-${year}`;
}

/** date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE   (RFC 3501 section 9) */
export function dateTime(s: Scanner): Date {
  const rule = 'date-time, such as " 1-Feb-2026 12:00:00 +0000"';
  const pattern = /"([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"/y;
  const [, day, month, year, hour, minute, second, sign, zoneHour, zoneMinute] = s.match(pattern) ?? s.fail(rule);
  const start = dayStart(Number(year), monthOf(month ?? ''), Number(day));
  // 60 is a leap second; it becomes the first of the next minute.
  const inRange = Number(hour) < 24 && Number(minute) < 60 && Number(second) <= 60 && Number(zoneMinute) < 60;
  if (start === null || !inRange) return s.fail('a time of the calendar before this');
  const zoneMinutes = (Number(zoneHour) * 60 + Number(zoneMinute)) * (sign === '-' ? -1 : 1);
  return new Date(start + ((Number(hour) * 60 + Number(minute) - zoneMinutes) * 60 + Number(second)) * 1000);
}

const twoDigits = Array.from({ length: 100 }, (_, value) => String(value).padStart(2, '0'));
const daySeconds = 86_400;
/** The last day, counted from 1970, and its text: messages that are told of together are mostly of few days. */
let [knownDay, knownDate] = [Number.NaN, ''];

/** In UTC, whole seconds, with the quotes; the year is within 0 to 9999. */
export function formatDateTime(at: Date): string {
  const seconds = Math.floor(at.getTime() / 1000);
  const day = Math.floor(seconds / daySeconds);
  if (day !== knownDay) [knownDay, knownDate] = [day, formatDay(at)];
  const second = seconds - day * daySeconds;
  const [hour, minute] = [Math.floor(second / 3600), Math.floor(second / 60) % 60];
  return `"${knownDate} ${twoDigits[hour]}:${twoDigits[minute]}:${twoDigits[second % 60]} +0000"`;
}

function formatDay(at: Date): string {
  const year = String(Math.min(Math.max(at.getUTCFullYear(), 0), 9999)).padStart(4, '0');
  return `${String(at.getUTCDate()).padStart(2, ' ')}-${months[at.getUTCMonth()]}-${year}`;
}
