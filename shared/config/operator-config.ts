import type { Environment } from './environment.ts';
import { configFault, loadSettings } from './load-settings.ts';
import { operatorSettings, type OperatorSettingValues } from './operator-settings.ts';
import type { Secret } from './secret.ts';

/** The configuration of an operator: the table of operator-settings.ts. */
export type OperatorConfig = OperatorSettingValues & {
  readonly databaseUrl: Secret;
  /** The file that `databaseUrl` was read from; null: it stood in the environment. */
  readonly databaseUrlFile: string | null;
};

export type LoadedOperatorConfig = {
  readonly config: OperatorConfig;
  /** Things that are probably mistakes and do no harm. */
  readonly warnings: readonly string[];
};

/** Throws ProgramFault 78 that names every fault, with what to write instead. */
export function loadOperatorConfig(environment: Environment): LoadedOperatorConfig {
  const { values, files, warnings, faults } = loadSettings(operatorSettings, { environment }, { presetsOf: () => [] });
  const settings = values as OperatorSettingValues;
  const { databaseUrl } = settings;
  if (databaseUrl === null) {
    faults.push('DATABASE_URL: not set; write postgres://user:password@host:5432/database, or DATABASE_URL_FILE');
  }
  if (databaseUrl === null || databaseUrl === undefined || faults.length > 0) {
    throw configFault(faults, 'docs/configuration.md describes each setting of the operator.');
  }
  return { config: { ...settings, databaseUrl, databaseUrlFile: files['databaseUrl'] ?? null }, warnings };
}
