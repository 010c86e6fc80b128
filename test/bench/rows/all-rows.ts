/** The table, in the order in which it is printed. */
import { agedRows } from './aged-rows.ts';
import { besideRows } from './beside-rows.ts';
import { growthRows } from './growth-rows.ts';
import { withLimits } from './limits-by-row.ts';
import { loginRows } from './login-rows.ts';
import { outboundRows } from './outbound-rows.ts';
import { queueRows } from './queue-rows.ts';
import { readRows } from './read-rows.ts';
import { receiveRows } from './receive-rows.ts';
import type { Row } from './row.ts';
import { searchRows } from './search-rows.ts';
import { stormRows } from './storm-rows.ts';
import { writeRows } from './write-rows.ts';

const allRows: readonly Row[] = [
  ...receiveRows,
  ...loginRows,
  ...readRows,
  ...searchRows,
  ...writeRows,
  ...growthRows,
  ...queueRows,
  ...outboundRows,
  ...besideRows,
  ...stormRows,
  ...agedRows,
].map(withLimits);

/**
 * Those whose name begins with the one given (names and beginnings, separated by commas); throws when there is none.
 * Without a name those of a whole run; "all" are the separate ones too.
 */
export function rowsNamed(names: string): readonly Row[] {
  if (names === '') return allRows.filter((row) => row.isSeparate !== true);
  if (names === 'all') return allRows;
  const found = names.split(',').flatMap((name) => {
    const exact = allRows.filter((row) => row.name === name);
    const rows = exact.length > 0 ? exact : allRows.filter((row) => row.name.startsWith(name));
    if (rows.length === 0) throw new Error(`no row is called ${name}; ROW=list prints them`);
    return rows;
  });
  return [...new Set(found)];
}
