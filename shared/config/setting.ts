import type { ValueType } from './value-type.ts';

/** Defaults that one switch changes together; the later ones win. */
export type Preset = 'development' | 'staging' | 'debug' | 'developmentMode' | 'local';

export type Setting<T> = {
  readonly names: readonly [string, ...string[]];
  readonly group:
    'Modes' | 'Data' | 'Kubernetes' | 'DNS' | 'Listeners' | 'TLS' | 'Logins' | 'Outbound' | 'Limits' | 'Running';
  readonly type: ValueType<T>;
  /** As it would be written. */
  readonly standard: string;
  /** What the reference page says instead of `standard`, where that depends on the machine. */
  readonly standardHelp?: string;
  readonly presets?: Partial<Record<Preset, string>>;
  readonly help: string;
  readonly isSecret?: true;
};

export function setting<T>(row: Setting<T>): Setting<T> {
  return row;
}
