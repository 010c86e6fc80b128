import { expect, test } from 'vitest';
import { parseDateTime } from './date-time.ts';

test.each([
  ['Fri, 21 Nov 1997 09:55:06 -0600', '1997-11-21T15:55:06.000Z', '1997-11-21'],
  ['21 Nov 1997 09:55 +0000', '1997-11-21T09:55:00.000Z', '1997-11-21'],
  ['Fri, 21 Nov 97 09(comment):   55  :  06 -0600', '1997-11-21T15:55:06.000Z', '1997-11-21'],
  ['Thu,\t13 Feb 2003 23:30:00 -0800 (PST)', '2003-02-14T07:30:00.000Z', '2003-02-13'],
  ['1 Jan 49 00:00:00 EST', '2049-01-01T05:00:00.000Z', '2049-01-01'],
  ['1 Jan 101 00:00:00 Z', '2001-01-01T00:00:00.000Z', '2001-01-01'],
  ['31 Dec 1998 23:59:60 GMT', '1999-01-01T00:00:00.000Z', '1998-12-31'],
  ['1 January 2020 1:02:03', '2020-01-01T01:02:03.000Z', '2020-01-01'],
])('RFC 5322 sections 3.3 and 4.3: %s', (text, at, day) => {
  expect(parseDateTime(text)).toEqual({ at: new Date(at), day });
});

test.each([
  '',
  'soon',
  '31 Feb 2001 00:00:00 +0000',
  '1 Foo 2001 00:00:00 +0000',
  '1 Jan 2001 25:00:00 +0000',
  '1 Jan 2001',
])('%j is no date', (text) => expect(parseDateTime(text)).toBeNull());
