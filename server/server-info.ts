import type { ServerConfig } from '#shared/config/server-config.ts';
import { version } from '#shared/process/version.ts';

/** `GET /api/v1/info`: what anybody may know. */
export type ServerInfo = {
  readonly name: 'Postrider';
  readonly version: string;
  readonly developmentMode: boolean;
  readonly roles: readonly string[];
  /** The defences that are on; in development mode most are off. */
  readonly security: {
    readonly loginNeedsTls: boolean;
    readonly submissionNeedsLogin: boolean;
    readonly anyPasswordAccepted: boolean;
    readonly maxMessageBytes: number;
    readonly maxConnectionsPerAddress: number;
  };
};

export function serverInfo(config: ServerConfig): ServerInfo {
  const { developmentMode, roles, maxMessageBytes, maxConnectionsPerAddress } = config;
  return {
    name: 'Postrider',
    version,
    developmentMode,
    roles,
    security: {
      loginNeedsTls: !developmentMode,
      submissionNeedsLogin: !developmentMode,
      anyPasswordAccepted: developmentMode,
      maxMessageBytes,
      maxConnectionsPerAddress,
    },
  };
}
