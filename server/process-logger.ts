import process from 'node:process';
import type { ServerConfig } from '#shared/config/server-config.ts';
import { createLogger, type Logger } from '#shared/observe/logger.ts';

/** The log of a process of the server, on standard output, which several may share. */
export function createProcessLogger(config: ServerConfig): Logger {
  const { logLevel, logFormat, processes } = config;
  const automatic = process.stdout.isTTY ? 'text' : 'json';
  return createLogger({
    level: logLevel === 'warning' ? 'warn' : logLevel,
    format: logFormat === 'auto' ? automatic : logFormat,
    isShared: processes > 1,
  });
}
