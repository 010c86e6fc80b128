import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';

/**
 * Brings generated files up to date; with `--check` on the command line writes nothing, and sets the exit code where
 * one is not.
 */
export function writeGenerated(files: Readonly<Record<string, string>>, command: string): void {
  const isCheck = process.argv.includes('--check');
  for (const [file, wanted] of Object.entries(files)) {
    const is = existsSync(file) ? readFileSync(file, 'utf8') : '';
    if (is === wanted) continue;
    if (isCheck) {
      console.error(`${file} is not up to date: run \`${command}\``);
      process.exitCode = 1;
    } else {
      writeFileSync(file, wanted);
      console.log(`wrote ${file}`);
    }
  }
}
