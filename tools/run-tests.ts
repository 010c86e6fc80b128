/**
 * The test command: runs every suite with vitest, then prints one line, `N passed, N failed, N skipped`, over
 * all of them. Arguments are handed to vitest (`tools/run-tests.ts server/mime`).
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { kubeAssets, missingKubeMessage } from '../test/harness/kube-assets.ts';
import { missingPebbleMessage, pebbleProgram } from '../test/harness/pebble.ts';

const results = 'coverage/test-results.json';
rmSync(results, { force: true });
const vitest = ['node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2)];
const { status } = spawnSync(process.execPath, vitest, { stdio: 'inherit' });
const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = readResults();
/** A file that fails before its tests are known counts as one failure. */
const brokenFiles = testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length;
/** An error outside of any test fails the run too. */
const failed = Math.max(numFailedTests + brokenFiles, status === 0 ? 0 : 1);
if (kubeAssets() === null) console.log(`\n!!! ${missingKubeMessage}\n`);
if (pebbleProgram() === null) console.log(`\n!!! ${missingPebbleMessage}\n`);
console.log(`${numPassedTests} passed, ${failed} failed, ${numPendingTests + numTodoTests} skipped`);
process.exitCode = status ?? 1;

type Results = {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
};

function readResults(): Results {
  try {
    return JSON.parse(readFileSync(results, 'utf8')) as Results;
  } catch (cause) {
    throw new Error(`the test run wrote no ${results}: it broke before any test`, { cause });
  }
}
