/**
 * Makes the directory follow a folder of manifests: read, check, plan, then one transaction. Invariants: a bad
 * manifest changes nothing; a second run over the same manifests writes nothing; a generated password is on the
 * disk before the account that has it is in the database.
 */
import { mkdir } from 'node:fs/promises';
import type { Kysely } from 'kysely';
import { forEachBounded } from '#shared/base/bounded.ts';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { Database } from '#shared/db/schema.ts';
import { readSnapshot, transact } from '#shared/db/tx.ts';
import { noteSecrets } from '#shared/directory/credentials.ts';
import type { NewPassword } from '#shared/directory/credentials.ts';
import { reconcileDkimKeys, zoneLine } from '#shared/directory/dkim-keys.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import { readMailCredentialSalts } from '#shared/directory/mail-credentials.ts';
import { formatAddress } from '#shared/text/address.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import { formatFault } from '#shared/provisioning/fault.ts';
import type { ManifestFault } from '#shared/provisioning/fault.ts';
import { parseManifests } from '#shared/provisioning/manifest.ts';
import type { Resources } from '#shared/provisioning/resource.ts';
import type { ObservedAccount } from '#shared/provisioning/observed.ts';
import { planDirectory } from '#shared/provisioning/plan.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import { wantedDirectory } from '#shared/provisioning/build-wanted.ts';
import { addressKey } from '#shared/provisioning/wanted.ts';
import type { WantedDirectory } from '#shared/provisioning/wanted.ts';
import { applyAction } from '#shared/reconcile/apply-action.ts';
import { lockDirectory } from '#shared/reconcile/apply-actions.ts';
import { newPassword } from '#shared/reconcile/new-password.ts';
import { observe } from '#shared/reconcile/observe.ts';
import { fingerprint, readDirectory } from '#shared/reconcile/read-directory.ts';
import type { StoredDirectory } from '#shared/reconcile/read-directory.ts';
import { generateSecret, removeSecret } from './generated-secrets.ts';
import type { Owner } from './generated-secrets.ts';
import { KnownPasswords, passwordsAtOnce } from './known-passwords.ts';
import type { Recognised } from './known-passwords.ts';
import { readManifestFolder } from './read-manifests.ts';
import { summarise } from './summary.ts';
import type { ManifestSummary } from './summary.ts';

export type ReconcilerOptions = {
  readonly db: Kysely<Database>;
  readonly keyring: Keyring;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'manifests'>;
  /** The folder of manifests. */
  readonly manifestsFolder: string;
  /** Where generated passwords are written, as Secrets; read like the folder of manifests. */
  readonly secretsFolder: string;
  /** Passwords that one transaction sets at most; 2000 unless told. */
  readonly passwordsARound?: number;
};

/** Reads over again when another process changed the directory at the same time. */
const attempts = 5;

/** A minute's work or two is committed before more is begun, so that a start that is cut off is not in vain. */
const passwordsARound = 2_000;

/** A password in a file is replaced by whoever edits the file or deletes it, not by time. */
const never = new Date(0);

type Step = {
  readonly resources: Resources;
  readonly notices: readonly ManifestFault[];
  readonly wanted: WantedDirectory;
  readonly stored: StoredDirectory;
  /** Credentials whose password turned out to be their Secret's, which their tag didn't tell. */
  readonly recognised: readonly Recognised[];
  readonly observed: readonly ObservedAccount[];
  readonly actions: readonly Action[];
  readonly faults: readonly ManifestFault[];
};

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #known: KnownPasswords;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#known = new KnownPasswords(options.db, options.keyring);
  }

  /**
   * Resolves after the commit. Throws ProgramFault 78 that names every fault of the manifests, with nothing
   * changed; any other error is the database's or the disk's.
   */
  async reconcile(): Promise<ManifestSummary> {
    await mkdir(this.#options.secretsFolder, { recursive: true, mode: 0o700 });
    let changes = 0;
    for (let attempt = 1; attempt <= attempts;) {
      const step = await this.#look();
      this.#refuseFaults(step);
      await noteSecrets(this.#options.db, step.recognised);
      const actions = this.#round(step.actions);
      if (actions.length === 0) return await this.#done(step, changes);
      const passwords = await this.#newPasswords(actions);
      if (!passwords || !(await this.#apply(step, actions, passwords))) attempt += 1;
      else {
        changes += actions.length;
        if (actions.length === step.actions.length) return await this.#done(await this.#look(), changes);
      }
    }
    throw new Error(`the directory kept changing while manifests were applied (${attempts} attempts)`);
  }

  /** What is done in one transaction: all, but for passwords beyond those of one round. */
  #round(actions: readonly Action[]): readonly Action[] {
    const most = this.#options.passwordsARound ?? passwordsARound;
    let left = most;
    const round = actions.filter(
      (action) => (action.do !== 'set-password' && action.do !== 'set-credential-password') || left-- > 0,
    );
    if (round.length < actions.length) {
      const later = actions.length - round.length;
      const event = 'manifest.passwords';
      this.#options.logger.info({ event, now: most, later }, 'many passwords are set; this takes some time');
    }
    return round;
  }

  async #look(): Promise<Step> {
    const { db, keyring, manifestsFolder, secretsFolder } = this.#options;
    const own = await readManifestFolder(manifestsFolder);
    const manifests = parseManifests([...own, ...(await readManifestFolder(secretsFolder))]);
    const isComplete = manifests.faults.length === 0;
    const { wanted, faults, notices } = wantedDirectory(manifests.resources, { kind: 'folder', isComplete });
    const stored = await readSnapshot(db, readDirectory);
    this.#refuseEmptyFolder(wanted, stored, isComplete);
    const { passwords, recognised } = await this.#known.look(wanted, stored);
    const observed = observe(stored, wanted, { keyring, isPart: false });
    const directory = {
      ...observed,
      accounts: stored.accounts.map((row) => ({ ...row, password: passwords.get(row.id) ?? ('none' as const) })),
    };
    const allFaults = [...manifests.faults, ...faults];
    const plan = planDirectory(wanted, directory, { isComplete: allFaults.length === 0, now: never });
    return {
      resources: manifests.resources,
      notices: [...manifests.notices, ...notices],
      wanted,
      stored,
      recognised,
      observed: directory.accounts,
      actions: plan.actions,
      faults: [...allFaults, ...plan.faults],
    };
  }

  /** A folder that was not mounted looks like one whose manifests were all removed. */
  #refuseEmptyFolder(wanted: WantedDirectory, { domains }: StoredDirectory, isComplete: boolean): void {
    const inUse = domains.filter(({ managedBy, isRetained }) => managedBy === 'reconciler' && !isRetained);
    if (!isComplete || wanted.domains.length > 0 || inUse.length === 0) return;
    throw new ProgramFault(
      78,
      `${this.#options.manifestsFolder} has no MailDomain, but the database has ${inUse.map(({ name }) => name).join(', ')}`,
      'Put the manifests back. To remove the last domain, write a MailDomain for another one first.',
    );
  }

  #refuseFaults({ faults }: Step): void {
    if (faults.length === 0) return;
    this.#count('refused', faults);
    const lines = faults.map((fault) => `  ${formatFault(fault)}`);
    throw new ProgramFault(
      78,
      `the manifests have ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${lines.join('\n')}`,
      'Correct the lines above; nothing was changed.',
    );
  }

  /** By the resource's UID. Null: another process generated a password meanwhile. */
  async #newPasswords(actions: readonly Action[]): Promise<ReadonlyMap<string, NewPassword> | null> {
    const { db, keyring, secretsFolder, logger } = this.#options;
    const passwords = new Map<string, NewPassword>();
    const owners = actions.flatMap(passwordOwner);
    const salts = await readMailCredentialSalts(
      db,
      keyring,
      owners.filter(({ kind }) => kind === 'MailCredential').map(({ uid }) => uid),
    );
    let isOvertaken = false;
    await forEachBounded(owners, passwordsAtOnce, async (owner) => {
      const { uid, label, password } = owner;
      if (isOvertaken) return;
      if (password.value !== null) {
        passwords.set(uid, await newPassword(keyring, password, password.value, salts.get(uid)));
        return;
      }
      const made = await generateSecret(secretsFolder, keyring, owner);
      isOvertaken ||= made === null;
      if (made === null) return;
      logger.info({ event: 'manifest.password-made', resource: label }, 'generated a password');
      const generated = { ...password, source: { ...password.source, mark: made.mark } };
      passwords.set(uid, await newPassword(keyring, generated, made.password, salts.get(uid)));
    });
    return isOvertaken ? null : passwords;
  }

  /** False: the directory is not as it was when the plan was made. */
  async #apply(
    { stored }: Step,
    actions: readonly Action[],
    passwords: ReadonlyMap<string, NewPassword>,
  ): Promise<boolean> {
    const { db, keyring, secretsFolder, logger } = this.#options;
    const isApplied = await transact(db, async (tx) => {
      await lockDirectory(tx);
      if (fingerprint(await readDirectory(tx)) !== fingerprint(stored)) return false;
      for (const action of actions) await applyAction(action, { tx, keyring, passwords });
      return true;
    });
    if (!isApplied) return false;
    for (const action of actions) {
      logger.info({ event: 'manifest.applied', action: action.do, ...describe(action) }, 'directory changed');
      if (action.do === 'purge-account' && action.resourceName !== null) {
        await removeSecret(secretsFolder, { kind: 'Mailbox', resourceName: action.resourceName });
      }
      if (action.do === 'delete-credential') {
        await removeSecret(secretsFolder, { kind: 'MailCredential', resourceName: action.resourceName });
      }
    }
    return true;
  }

  async #done(step: Step, changes: number): Promise<ManifestSummary> {
    const { resources, notices } = step;
    await this.#signingKeys();
    for (const notice of notices) this.#options.logger.info({ event: 'manifest.notice' }, formatFault(notice));
    const { domains, mailboxes, aliases, routes, credentials, policies } = resources;
    for (const { kind } of [...domains, ...mailboxes, ...aliases, ...routes, ...credentials, ...policies]) {
      this.#options.metrics.manifests.inc({ kind, outcome: 'ok' });
    }
    return summarise(step, changes);
  }

  /** After the domains are there; who comes second finds them as they should be. */
  async #signingKeys(): Promise<void> {
    const { db, keyring, logger } = this.#options;
    for (const { domain, actions, records } of await reconcileDkimKeys(db, keyring)) {
      const event = 'dkim.keys';
      const publish = records.map(zoneLine);
      logger.info(
        { event, domain, actions: actions.map((action) => action.do), publish },
        'publish these DKIM records',
      );
    }
  }

  #count(outcome: string, faults: readonly ManifestFault[]): void {
    this.#options.metrics.manifests.inc({ kind: 'any', outcome }, faults.length);
  }
}

type PasswordOwner = Owner & { readonly uid: string };

/** Whose password is to be set; none, or one. */
function passwordOwner(action: Action): readonly PasswordOwner[] {
  if (action.do === 'set-password') {
    const { uid, resourceName, label, password } = action.account;
    return [{ kind: 'Mailbox', uid, resourceName, label, username: formatAddress(action.account), password }];
  }
  if (action.do !== 'set-credential-password') return [];
  const { uid, resourceName, label, username, password } = action.credential;
  return [{ kind: 'MailCredential', uid, resourceName, label, username, password }];
}

function describe(action: Action): Readonly<Record<string, unknown>> {
  switch (action.do) {
    case 'put-domain':
      return { resource: action.domain.label };
    case 'put-account':
    case 'set-password':
      return { resource: action.account.label };
    case 'put-alias':
      return { resource: action.alias.label };
    case 'put-route':
      return { resource: action.route.label };
    case 'put-credential':
    case 'set-credential-password':
      return { resource: action.credential.label };
    case 'delete-credential':
      return { resource: `MailCredential ${action.resourceName}` };
    case 'delete-route':
      return { resource: `MailRoute ${action.resourceName}` };
    case 'add-address':
    case 'remove-address':
      return { address: addressKey(action.address) };
    case 'add-domain-name':
    case 'remove-domain-name':
      return { domain: action.name };
    default:
      return { id: String(action.id) };
  }
}
