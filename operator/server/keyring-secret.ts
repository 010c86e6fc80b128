/**
 * The keyring of the installation, in a Secret that servers mount. Made where there is none and nothing in the database
 * is sealed yet; never changed by us, and never made anew for a database that an older one sealed something in.
 */
import { sql, type Kysely } from 'kysely';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { Database } from '#shared/db/schema.ts';
import { assertKeyringOf, isAnythingSealed } from '#shared/directory/credentials.ts';
import { newKeyringText, parseKeyring, type Keyring } from '#shared/directory/keyring.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { secrets, type Secret } from '#operator/kube/core-resources.ts';
import { isAlreadyExists, isNotFound } from '#operator/kube/kube-error.ts';

/** The key of the Secret that has it. */
const dataKey = 'keyring';

export type KeyringSecretOptions = {
  readonly client: KubeClient;
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly name: string;
  readonly logger: Logger;
};

/** ProgramFault 78: there is none for a database that has sealed values, or it is not the one that sealed them. */
export async function openKeyringSecret(options: KeyringSecretOptions): Promise<Keyring> {
  const { namespace, name, db } = options;
  const where = `Secret ${namespace}/${name}`;
  const secret = (await readSecret(options)) ?? (await makeSecret(options));
  const text = Buffer.from(secret.data?.[dataKey] ?? '', 'base64').toString('utf8');
  const keyring = parseKeyring(text, where);
  await assertKeyringOf(db, keyring, where);
  return keyring;
}

/**
 * The same for a database that no migration has come to: pods of servers can't start before the Secret is there, and
 * nodes look for it ever more rarely. Does nothing where the database has tables of ours.
 */
export async function makeKeyringSecretEarly(options: KeyringSecretOptions): Promise<void> {
  const { rows } = await sql<{ is_empty: boolean }>`select to_regclass('credential') is null as is_empty`.execute(
    options.db,
  );
  if (rows[0]?.is_empty === true && (await readSecret(options)) === null) await createSecret(options);
}

async function readSecret({ client, namespace, name }: KeyringSecretOptions): Promise<Secret | null> {
  try {
    return await client.get(secrets, { namespace, name });
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

async function makeSecret(options: KeyringSecretOptions): Promise<Secret> {
  const { db, namespace, name } = options;
  if (await isAnythingSealed(db)) {
    throw new ProgramFault(
      78,
      `there is no Secret ${namespace}/${name}, but the database holds what a keyring sealed`,
      'Put the Secret back from your backup; nothing else opens the database.',
    );
  }
  return createSecret(options);
}

async function createSecret({ client, namespace, name, logger }: KeyringSecretOptions): Promise<Secret> {
  try {
    const secret = await client.create(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace, name, labels: { 'app.kubernetes.io/managed-by': 'postrider-operator' } },
      type: 'Opaque',
      data: { [dataKey]: Buffer.from(newKeyringText()).toString('base64') },
    });
    logger.info({ event: 'keyring.made', namespace, name }, 'made the keyring; back this Secret up');
    return secret;
  } catch (error) {
    // Somebody was quicker: theirs is the one.
    if (isAlreadyExists(error)) return client.get(secrets, { namespace, name });
    throw error;
  }
}
