#!/usr/bin/env node
/** The program `postrider`: finds the command and turns what goes wrong into a line, a hint and an exit code. */
import process from 'node:process';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { commands, usage, UsageFault } from './commands.ts';

/** sysexits.h EX_USAGE. */
const usageExitCode = 64;

async function main(args: readonly string[]): Promise<number> {
  const [name = 'help', ...rest] = args;
  const command = commands.find((known) => known.name === name || known.aliases?.includes(name));
  try {
    if (command === undefined) throw new UsageFault(`there is no command ${JSON.stringify(name)}`);
    return await command.run(rest);
  } catch (error) {
    if (error instanceof UsageFault) {
      process.stderr.write(`postrider: ${error.message}\n\n${usage()}`);
      return usageExitCode;
    }
    if (error instanceof ProgramFault) {
      process.stderr.write(`postrider: ${error.message}\n${error.hint}\n`);
      return error.exitCode;
    }
    throw error;
  }
}

// Whoever read our output may have seen enough (`postrider config | head`).
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
process.exitCode = await main(process.argv.slice(2));
