/** A leader waits for database, schema and keyring, and says so where resources wait for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { checkSchema } from '#shared/db/migrate.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import { takeEpoch } from '#shared/reconcile/leader-epoch.ts';
import { databaseTrouble, keyringTrouble, schemaTrouble, type DatabaseTrouble } from './directory/database-state.ts';
import { reportPending } from './directory/pending-reports.ts';
import type { Leading, OperatorBasis } from './foundation/operator-foundation.ts';
import { makeKeyringSecretEarly, openKeyringSecret, type KeyringSecretOptions } from './server/keyring-secret.ts';

const everyMs = 1_000;

export type OpenedDatabase = { readonly keyring: Keyring; readonly epoch: bigint };

/** When all is there, the database is this leader's; null: `stop` came first. */
export async function openWhenReady(parts: OperatorBasis & Leading, stop: AbortSignal): Promise<OpenedDatabase | null> {
  const { logger, health, lost } = parts;
  let told = '';
  while (!stop.aborted && !lost.aborted) {
    const found = await look(parts);
    if (!('trouble' in found)) {
      health.recover('work');
      return found;
    }
    const { reason, message } = found.trouble;
    if (told !== message) logger.warn({ event: 'operator.waiting', reason }, message);
    told = message;
    health.degrade('work', message);
    await tell(parts, found.trouble);
    await sleep(everyMs, undefined, { signal: AbortSignal.any([stop, lost]) }).catch(() => undefined);
  }
  return null;
}

type Found = OpenedDatabase | { readonly trouble: DatabaseTrouble };

async function look({ client, config, database, namespace, logger }: OperatorBasis): Promise<Found> {
  const secret = { client, db: database.db, namespace, name: config.keyringSecret, logger };
  try {
    await checkSchema(database);
  } catch (error) {
    if (!(error instanceof ProgramFault)) throw error;
    const trouble = schemaTrouble(error);
    if (trouble.reason === 'DatabaseSchemaTooOld') await prepareKeyring(secret);
    return { trouble };
  }
  try {
    const keyring = await openKeyringSecret(secret);
    return { keyring, epoch: await takeEpoch(database.db, config.identity) };
  } catch (error) {
    const trouble = error instanceof ProgramFault ? keyringTrouble(error) : databaseTrouble(error);
    if (trouble) return { trouble };
    const message = error instanceof Error ? error.message : String(error);
    return { trouble: { status: 'Unknown', reason: 'KeyringUnusable', message } };
  }
}

async function prepareKeyring(secret: KeyringSecretOptions): Promise<void> {
  try {
    await makeKeyringSecretEarly(secret);
  } catch (err) {
    secret.logger.warn({ event: 'keyring.not-made', err }, 'the keyring could not be made yet; tried again soon');
  }
}

async function tell(parts: OperatorBasis & Leading, trouble: DatabaseTrouble): Promise<void> {
  try {
    await reportPending(parts, trouble);
  } catch (err) {
    parts.logger.warn({ event: 'operator.report-failed', err }, 'tried again soon');
  }
}
