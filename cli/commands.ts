/** The commands, one row each; `postrider help` prints this table. */
import { existsSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { readEnvironment, readEnvironmentFile } from '#shared/config/environment.ts';
import { loadServerConfig, type LoadedConfig } from '#shared/config/server-config.ts';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { version } from '#shared/process/version.ts';

export type Command = {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly takes: string;
  readonly does: string;
  /** Resolves with the exit code. */
  run(args: readonly string[]): Promise<number> | number;
};

/** The command line makes no sense: the list of commands is printed, and the exit code is 64. */
export class UsageFault extends Error {
  override readonly name = 'UsageFault';
}

/** Loaded when needed: the server is large, and help and configuration are asked for more often. */
const databaseCommands = () => import('./database-commands.ts');

const configOptions = '[--local] [--config FILE]';
const runOptions = `${configOptions} [--processes N]`;

export const commands: readonly Command[] = [
  {
    name: 'run',
    takes: runOptions,
    does: 'run the server; --local: on loopback, with a Postgres of its own',
    run: async (args) => {
      const config = readConfig(args, 'processes');
      const { runServer } = await import('#server/main.ts');
      return runServer(config);
    },
  },
  {
    name: 'config',
    takes: runOptions,
    does: 'print the configuration in force and where it comes from, secrets masked',
    run: (args) => printConfig(readConfig(args, 'processes')),
  },
  {
    name: 'migrate',
    takes: `[--wait] ${configOptions}`,
    does: 'bring the database schema up to date; --wait: as soon as the database answers',
    run: async (args) => {
      const mayWait = args.includes('--wait');
      const { config } = readConfig(args.filter((arg) => arg !== '--wait'));
      return (await databaseCommands()).migrateDatabase(config, { mayWait, print });
    },
  },
  {
    name: 'after-restore',
    takes: configOptions,
    does: 'after a restored backup: raise every UIDVALIDITY, so that clients fetch anew',
    run: async (args) => (await databaseCommands()).afterRestore(readConfig(args).config, print),
  },
  {
    name: 'search',
    takes: `rebuild ${configOptions}`,
    does: 'drop the search index; running servers fill it again, and scan until then',
    run: async ([what, ...args]) => {
      if (what !== 'rebuild') throw new UsageFault('search takes: rebuild');
      return (await databaseCommands()).rebuildSearch(readConfig(args).config, print);
    },
  },
  {
    name: 'check',
    takes: `db ${configOptions}`,
    does: 'look at the database: version, schema, notifications',
    run: async ([what, ...args]) => {
      if (what !== 'db') throw new UsageFault('check looks at: db');
      return (await databaseCommands()).checkDatabase(readConfig(args).config, print);
    },
  },
  {
    name: 'dkim',
    takes: `[DOMAIN] ${configOptions}`,
    does: 'print the DKIM records to publish, as lines of a zone file',
    run: async (args) => {
      const domain = args[0]?.startsWith('-') === false ? args[0] : null;
      const { printDkimRecords } = await import('./dkim-commands.ts');
      return printDkimRecords(readConfig(domain === null ? args : args.slice(1)).config, domain, print);
    },
  },
  {
    name: 'suppression',
    takes: `list|add|remove [DOMAIN [ADDRESS]] ${configOptions}`,
    does: 'addresses that a domain sends nothing to: list [--json], add [--reason TEXT], remove',
    run: async (args) => {
      const commands = await import('./suppression-commands.ts');
      const asked = commands.suppressionRequest(args);
      if (asked === null)
        throw new UsageFault('suppression takes: list [DOMAIN], add DOMAIN ADDRESS, remove DOMAIN ADDRESS');
      return commands.suppression(readConfig(asked.rest).config, asked.request, print);
    },
  },
  {
    name: 'queue',
    takes: `list|show|hold|release|retry|cancel|stats [ID…] ${configOptions}`,
    does: 'what waits to go out; filters: --domain, --sender, --sender-domain, --state, --route, --older, --deferred, --all',
    run: async (args) => {
      const { queueRequest } = await import('./queue-request.ts');
      const asked = queueRequest(args);
      if ('fault' in asked) throw new UsageFault(asked.fault);
      const { queue } = await import('./queue-commands.ts');
      return queue(readConfig(asked.rest).config, asked.request, print);
    },
  },
  {
    name: 'make-keyring',
    takes: 'FILE',
    does: 'make a file of new keys that seal secrets in the database',
    run: async ([file, ...rest]) => {
      if (file === undefined || rest.length > 0) throw new UsageFault('make-keyring takes one file');
      if (existsSync(file))
        throw new ProgramFault(78, `${file} is there already`, 'Name a file that is not there yet.');
      const { openKeyring } = await import('#shared/directory/keyring.ts');
      await openKeyring(file, 'create');
      return print(`made ${file}`);
    },
  },
  {
    name: 'version',
    aliases: ['--version', '-v'],
    takes: '',
    does: 'print the version',
    run: () => print(version),
  },
  {
    name: 'help',
    aliases: ['--help', '-h'],
    takes: '',
    does: 'print this list',
    run: () => print(usage().trimEnd()),
  },
];

export function usage(): string {
  const lines = commands.map(({ name, takes, does }) => `  postrider ${`${name} ${takes}`.padEnd(50)}${does}\n`);
  return `Usage:\n${lines.join('')}\nSettings are environment variables: docs/configuration.md\n`;
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}

function readConfig(args: readonly string[], more?: 'processes'): LoadedConfig {
  const { local, config: file, processes } = readOptions(args, more);
  return loadServerConfig({
    environment: readEnvironment(),
    processes,
    ...(file !== undefined && { file: { name: file, values: readEnvironmentFile(file) } }),
    isLocal: local,
  });
}

type Options = {
  readonly local: boolean;
  readonly config?: string | undefined;
  readonly processes?: string | undefined;
};

function readOptions(args: readonly string[], more?: 'processes'): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        local: { type: 'boolean', default: false },
        config: { type: 'string' },
        processes: { type: 'string' },
      },
    });
    if (values.processes !== undefined && more === undefined) throw new Error('--processes is for run and config');
    return values;
  } catch (error) {
    throw new UsageFault((error as Error).message, { cause: error });
  }
}

function printConfig({ printed, warnings }: LoadedConfig): number {
  const nameWidth = Math.max(...printed.map(({ name }) => name.length));
  const valueWidth = Math.max(...printed.map(({ value }) => value.length));
  for (const { name, value, source } of printed) {
    print(`${name.padEnd(nameWidth)}  ${value.padEnd(valueWidth)}  ${source}`);
  }
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  return 0;
}
