/** A configuration on its way to another process: secrets, which print as `[secret]`, are told in clear. */
import { Secret } from '#shared/config/secret.ts';
import type { ServerConfig } from '#shared/config/server-config.ts';

type PackedValue = { readonly plain: unknown } | { readonly secret: string };
export type PackedConfig = Readonly<Record<string, PackedValue>>;

export function packConfig(config: ServerConfig): PackedConfig {
  const pack = (value: unknown): PackedValue =>
    value instanceof Secret ? { secret: value.reveal() } : { plain: value };
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, pack(value)]));
}

export function unpackConfig(packed: PackedConfig): ServerConfig {
  const unpack = (value: PackedValue): unknown => ('secret' in value ? new Secret(value.secret) : value.plain);
  return Object.fromEntries(Object.entries(packed).map(([key, value]) => [key, unpack(value)])) as ServerConfig;
}
