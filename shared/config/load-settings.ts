/**
 * Settings of a program, from a table: for each the environment, else the env file, else the defaults of a mode, else
 * the standard. All that is wrong is collected.
 */
import { ProgramFault } from '#shared/base/program-fault.ts';
import { readConfiguredFile, type Environment } from './environment.ts';
import { nearest } from './near-miss.ts';
import type { Preset, Setting } from './setting.ts';

export type SettingTable = Readonly<Record<string, Setting<unknown>>>;

export type SettingSources = {
  readonly environment: Environment;
  /** What `--config` named, with its name for messages. */
  readonly file?: { readonly name: string; readonly values: Environment };
};

export type GivenText = {
  readonly text: string;
  readonly source: string;
  /** Where a secret was read from a file of its own. */
  readonly file?: string;
};

export type SettingRules = {
  /** What goes before the environment, by setting. */
  readonly options?: Readonly<Record<string, GivenText | undefined>>;
  /** The presets that hold, weakest first, from the values of the settings that come earlier in the table. */
  readonly presetsOf: (values: Readonly<Record<string, unknown>>) => readonly (readonly [Preset, string])[];
};

export type LoadedSettings = {
  readonly values: Record<string, unknown>;
  /** The file that a secret was read from, by setting. */
  readonly files: Readonly<Record<string, string>>;
  /** For each setting, what is in force as it would be written (secrets masked), and where it comes from. */
  readonly printed: readonly { readonly name: string; readonly value: string; readonly source: string }[];
  /** Things that are probably mistakes and do no harm. */
  readonly warnings: string[];
  readonly faults: string[];
};

const prefix = 'POSTRIDER_';
const namesOf = (row: Setting<unknown>): readonly string[] => [
  ...row.names,
  ...(row.isSecret ? row.names.map((name) => `${name}_FILE`) : []),
];

/** Kubernetes tells every pod of every Service in such variables; `imap` as a Service's name gives IMAP_PORT. */
const serviceLinkValue = /^(?:tcp|udp|sctp):\/\//;
const serviceLinkName = /_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;

/** A setting that has a fault is not among the values. */
export function loadSettings(table: SettingTable, sources: SettingSources, rules: SettingRules): LoadedSettings {
  const faults: string[] = [];
  const warnings: string[] = [];
  const rows = Object.entries(table);
  checkNames(
    rows.flatMap(([, row]) => namesOf(row)),
    sources,
    faults,
    warnings,
  );
  const values: Record<string, unknown> = {};
  const files: Record<string, string> = {};
  const printed: { name: string; value: string; source: string }[] = [];
  for (const [key, row] of rows) {
    const given = rules.options?.[key] ?? findGiven(row, sources, faults) ?? standardOf(row, rules.presetsOf(values));
    const parsed = row.type.parse(given.text);
    if (parsed.ok) {
      values[key] = parsed.value;
      if (given.file !== undefined) files[key] = given.file;
      printed.push({ name: row.names[0], value: row.type.print(parsed.value), source: given.source });
    } else {
      const shown = row.isSecret ? 'its value' : JSON.stringify(given.text);
      faults.push(`${given.source}: ${shown} is not usable; write ${parsed.write}`);
    }
  }
  return { values, files, printed, warnings, faults };
}

/** ProgramFault 78 that names all of `faults`. `hint` says where to read what is right. */
export function configFault(faults: readonly string[], hint: string): ProgramFault {
  const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
  return new ProgramFault(
    78,
    `the configuration has ${count}:\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    `Correct the lines above; ${hint}`,
  );
}

function findGiven(row: Setting<unknown>, sources: SettingSources, faults: string[]): GivenText | null {
  const fromEnvironment = lookUp(row, sources.environment, '', faults);
  if (fromEnvironment !== null) return fromEnvironment;
  return sources.file ? lookUp(row, sources.file.values, ` in ${sources.file.name}`, faults) : null;
}

function lookUp(row: Setting<unknown>, values: Environment, where: string, faults: string[]): GivenText | null {
  for (const plain of row.names) {
    for (const name of [prefix + plain, plain]) {
      const text = values[name]?.trim() ?? '';
      if (text !== '' && !serviceLinkValue.test(text)) return { text, source: name + where };
      const file = row.isSecret ? (values[`${name}_FILE`]?.trim() ?? '') : '';
      if (file !== '') return readSecretFile(file, `${name}_FILE${where}`, faults);
    }
  }
  return null;
}

function readSecretFile(file: string, source: string, faults: string[]): GivenText | null {
  try {
    return { text: readConfiguredFile(file, source).trim(), source, file };
  } catch (error) {
    if (!(error instanceof ProgramFault)) throw error;
    faults.push(`${error.message}; ${error.hint}`);
    return null;
  }
}

function standardOf(row: Setting<unknown>, presets: readonly (readonly [Preset, string])[]): GivenText {
  let given: GivenText = { text: row.standard, source: 'default' };
  for (const [preset, source] of presets) {
    const text = row.presets?.[preset];
    if (text !== undefined) given = { text, source };
  }
  return given;
}

/** Names that mean us and that we don't know are faults; near misses among everybody's names are warnings. */
function checkNames(
  knownNames: readonly string[],
  sources: SettingSources,
  faults: string[],
  warnings: string[],
): void {
  for (const [name, value] of Object.entries(sources.environment)) {
    if (serviceLinkName.test(name)) continue;
    if (serviceLinkValue.test(value ?? '')) {
      if (knownNames.includes(withoutPrefix(name))) warnings.push(serviceLinkWarning(name));
    } else if (name.startsWith(prefix)) {
      const fault = unknownName(name, knownNames);
      if (fault !== null) faults.push(fault);
    } else if (name.length > 5 && !knownNames.includes(name)) {
      const meant = nearest(name, knownNames, 1);
      if (meant !== null) warnings.push(`${name} in the environment is no setting; did you mean ${meant}?`);
    }
  }
  for (const name of Object.keys(sources.file?.values ?? {})) {
    const fault = unknownName(name, knownNames);
    if (fault !== null) faults.push(`${fault} (in ${sources.file?.name})`);
  }
}

function withoutPrefix(name: string): string {
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

function unknownName(name: string, knownNames: readonly string[]): string | null {
  const plain = withoutPrefix(name);
  if (knownNames.includes(plain)) return null;
  const meant = nearest(plain, knownNames, 3);
  const kept = name.startsWith(prefix) ? prefix : '';
  return `${name}: there is no such setting; ${meant === null ? 'remove it' : `write ${kept}${meant}`}`;
}

function serviceLinkWarning(name: string): string {
  return `${name} was set by Kubernetes for a Service of that name and is ignored; set enableServiceLinks: false in the pod`;
}
