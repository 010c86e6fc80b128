/** Where settings come from: the environment of the process and an env file. The only place that reads `process.env`. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { parseEnv } from 'node:util';
import { ProgramFault } from '#shared/base/program-fault.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export function readEnvironment(): Environment {
  return { ...process.env };
}

/** Lines `NAME=value` with `#` comments, as for `node --env-file`. */
export function readEnvironmentFile(file: string): Environment {
  return parseEnv(readConfiguredFile(file, '--config'));
}

/** The text of a file that `setting` names; ProgramFault 78 when it can't be read. */
export function readConfiguredFile(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new ProgramFault(78, `${setting}: ${file} can't be read (${code})`, 'Name a file that this user may read.', {
      cause: error,
    });
  }
}
