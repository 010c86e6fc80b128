/**
 * Holds docs/requirements.tsv against the tests. A row is: id, requirement, status, proof; its fields are separated by
 * tabs. Status `test`: the proof names tests, several with ` ; ` between them, and each must exist:
 * `path.test.ts > part of the test's name`, a contract that every implementation passes
 * (`test/contracts/x-contract.ts > part of the test's name`), or a transcript (`test/transcripts/x.txt > part of its
 * title`); `later PART` may stand among them where a part of the row waits. Status `later`: the proof names the part
 * that the whole row waits for. Fails on a missing row, a test that isn't there, or a row that can't be read.
 */
import { existsSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

const laterParts = ['outbound', 'filters', 'operator', 'console', 'imap-extensions', 'accounts', 'events'] as const;
const rowCount = 67;
const header = 'id\trequirement\tstatus\tproof';

/** What is wrong with the table, in words; `readTest` gives a test file's text, null where there is none. */
export function requirementFaults(table: string, readTest: (path: string) => string | null): readonly string[] {
  const faults: string[] = [];
  const [first, ...lines] = table.replace(/\n$/, '').split('\n');
  if (first !== header) faults.push(`the first line is not: ${header.replaceAll('\t', ' <tab> ')}`);
  const seen = new Set<string>();
  for (const [index, line] of lines.entries()) {
    const fields = line.split('\t');
    const [id = '', requirement = '', status = '', proof = ''] = fields;
    const where = `line ${index + 2} (${id})`;
    if (fields.length !== 4) faults.push(`${where}: ${fields.length} fields instead of 4`);
    if (!/^000-\d\d$/.test(id)) faults.push(`${where}: ${id} is no id such as 000-07`);
    if (seen.has(id)) faults.push(`${where}: the id was there before`);
    if (requirement.trim() === '') faults.push(`${where}: says nothing`);
    seen.add(id);
    faults.push(...proofFaults(status, proof, readTest).map((fault) => `${where}: ${fault}`));
  }
  for (let number = 1; number <= rowCount; number++) {
    const id = `000-${String(number).padStart(2, '0')}`;
    if (!seen.has(id)) faults.push(`row ${id} is missing`);
  }
  return faults;
}

function proofFaults(status: string, proof: string, readTest: (path: string) => string | null): readonly string[] {
  if (status === 'later') {
    const isKnown = (laterParts as readonly string[]).includes(proof);
    return isKnown ? [] : [`waits for ${JSON.stringify(proof)}, which is none of ${laterParts.join(', ')}`];
  }
  if (status !== 'test') return [`status ${JSON.stringify(status)} is neither test nor later`];
  const proofs = proof.split(' ; ');
  const later = proofs.filter((one) => one.startsWith('later '));
  if (later.length === proofs.length) return ['names no test'];
  return [
    ...later.flatMap((one) => proofFaults('later', one.slice('later '.length), readTest)),
    ...proofs.filter((one) => !later.includes(one)).flatMap((one) => testFaults(one, readTest)),
  ];
}

const testPaths = /(?:\.test\.ts|^test\/contracts\/[\w-]+-contract\.ts|^test\/transcripts\/[\w.-]+\.txt)$/;

function testFaults(proof: string, readTest: (path: string) => string | null): readonly string[] {
  const [path = '', name = ''] = proof.split(' > ');
  if (!testPaths.test(path) || name === '') return [`${proof} is not: path.test.ts > part of the test's name`];
  const text = readTest(path);
  if (text === null) return [`there is no ${path}`];
  // A transcript's title is its first line.
  const names = path.endsWith('.txt') ? text.split('\n', 1) : namesOf(text);
  return names.some((known) => known.includes(name)) ? [] : [`${path} has no test named … ${name} …`];
}

/** The names of the tests and groups of a test file: the first string of `test(`, `it(`, `describe(`, `.each(…)(`. */
function namesOf(text: string): readonly string[] {
  const call = /\b(?:test|it|describe)(?:\.\w+)*(?:\((?:[^()]|\([^()]*\))*\))?\(\s*(['"`])((?:\\.|(?!\1).)*)\1/gs;
  return [...text.matchAll(call)].map((match) => (match[2] ?? '').replaceAll(/\\(['"`])/g, '$1'));
}

function main(): void {
  const file = 'docs/requirements.tsv';
  const faults = requirementFaults(readFileSync(file, 'utf8'), (path) =>
    existsSync(path) ? readFileSync(path, 'utf8') : null,
  );
  for (const fault of faults) console.error(`${file}: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
  else console.log(`requirements: ${rowCount} rows, each with its test or the part it waits for`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
