import { formatAddress } from '#shared/text/address.ts';
import { resourceFault } from './fault.ts';
import type { FaultReason, Path, ResourceFault } from './fault.ts';
import { standingOf } from './observed.ts';
import type { ObservedAccount, ObservedAlias, ObservedDirectory, ObservedDomain, Standing, Uids } from './observed.ts';
import { addressKey } from './wanted.ts';
import type { Named, WantedAccount, WantedAlias, WantedDirectory, WantedDomain } from './wanted.ts';

type Wanted = WantedDomain | WantedAccount | WantedAlias;
type Row = ObservedDomain | ObservedAccount | ObservedAlias;

/** Who has a name or address in the database, and whether a resource that wants it may have it. */
export class Occupants {
  readonly faults: ResourceFault[] = [];
  /** Aliases whose resource is gone, that stand where another kind of resource wants to be. */
  readonly droppedAliases = new Set<ObservedAlias>();
  readonly #uids: Uids;
  readonly #keptAddresses: ReadonlySet<string>;
  readonly #byUid = new Map<string, Row>();
  readonly #domainNames = new Map<string, ObservedDomain>();
  readonly #accounts = new Map<string, ObservedAccount>();
  /** Further addresses of accounts that the plan does not touch; those of others are its own to move. */
  readonly #fixed = new Map<string, ObservedAccount>();
  readonly #aliases = new Map<string, ObservedAlias>();
  /** Rows that follow nothing yet, and a resource from this plan on. */
  readonly #takenUp = new Set<Row>();

  /** `keptAddresses`: of accounts that are not removed yet, though their time has come. */
  constructor(
    wanted: WantedDirectory,
    observed: ObservedDirectory,
    uids: Uids,
    keptAddresses: ReadonlySet<string> = new Set(),
  ) {
    const { domains, accounts, aliases } = observed;
    this.#uids = uids;
    this.#keptAddresses = keptAddresses;
    for (const rows of [domains, accounts, aliases]) {
      for (const row of rows) if (row.resourceUid !== null) this.#byUid.set(row.resourceUid, row);
    }
    for (const row of accounts) this.#accounts.set(addressKey(row), row);
    for (const row of aliases) this.#aliases.set(addressKey(row), row);
    for (const row of domains) this.#domainNames.set(row.name, row);
    for (const domain of wanted.domains) this.#noteTakenUp(domain, this.domainRow(domain));
    for (const account of wanted.accounts) this.#noteTakenUp(account, this.accountRow(account));
    for (const alias of wanted.aliases) this.#noteTakenUp(alias, this.aliasRow(alias));
    for (const row of domains) {
      if (this.#isFixed(row)) for (const name of row.aliasDomains) this.#domainNames.set(name, row);
    }
    for (const row of accounts) {
      if (this.#isFixed(row)) for (const each of row.aliases) this.#fixed.set(addressKey(each), row);
    }
    this.#check(wanted);
  }

  /** The row that the resource has or takes up; null: it needs a new one. */
  domainRow(wanted: WantedDomain): ObservedDomain | null {
    return (this.#byUid.get(wanted.uid) as ObservedDomain | undefined) ?? this.#domainNames.get(wanted.name) ?? null;
  }

  accountRow(wanted: WantedAccount): ObservedAccount | null {
    const own = this.#byUid.get(wanted.uid) as ObservedAccount | undefined;
    return own ?? this.#accounts.get(addressKey(wanted)) ?? null;
  }

  aliasRow(wanted: WantedAlias): ObservedAlias | null {
    const own = this.#byUid.get(wanted.uid) as ObservedAlias | undefined;
    return own ?? this.#aliases.get(addressKey(wanted)) ?? null;
  }

  #noteTakenUp(wanted: Wanted, row: Row | null): void {
    if (row && standingOf(row, this.#uids) === 'loose' && (wanted.isAdopting || row.managedBy === 'login')) {
      this.#takenUp.add(row);
    }
  }

  #standing(row: Row): Standing {
    return this.#takenUp.has(row) ? 'followed' : standingOf(row, this.#uids);
  }

  #isFixed(row: Row): boolean {
    const standing = this.#standing(row);
    return standing === 'loose' || standing === 'kept';
  }

  #check({ domains, accounts, aliases }: WantedDirectory): void {
    for (const domain of domains) {
      const row = this.domainRow(domain);
      const path = ['spec', 'domain'];
      if (row && row.name !== domain.name) {
        if (row.resourceUid === domain.uid) this.#immutable(domain, path, row.name);
        else {
          const why =
            standingOf(row, this.#uids) === 'kept' ? `made by ${row.resourceName}` : 'which follows no resource';
          this.#fault(domain, path, 'Conflict', `${domain.name} is an alias domain of ${row.name}, ${why}`);
        }
      } else if (row) this.#mayTakeUp(domain, row, path, `the domain ${row.name}`);
      for (const [i, name] of domain.aliasDomains.entries()) this.#checkAliasDomain(domain, name, i);
    }
    for (const account of accounts) {
      const own = this.accountRow(account);
      this.#checkOwn(account, own);
      this.#freeOfAlias(account, account, ['spec', 'address']);
      this.#freeOfFixed(account, own);
      for (const [i, address] of account.aliases.entries()) {
        const path = ['spec', 'aliases', i];
        this.#freeOfAccount(account, address, path, own);
        this.#freeOfAlias(account, address, path);
      }
    }
    for (const alias of aliases) {
      this.#checkOwn(alias, this.aliasRow(alias));
      this.#freeOfAccount(alias, alias, ['spec', 'address'], null);
    }
  }

  #checkAliasDomain(domain: WantedDomain, name: string, i: number): void {
    const row = this.#domainNames.get(name);
    if (!row || row.resourceUid === domain.uid) return;
    const who = row.resourceName === null ? 'follows no resource' : `was made by MailDomain ${row.resourceName}`;
    this.#fault(domain, ['spec', 'aliasDomains', i], 'Conflict', `${name} is a domain here already, which ${who}`);
  }

  #checkOwn(wanted: WantedAccount | WantedAlias, row: ObservedAccount | ObservedAlias | null): void {
    const path = ['spec', 'address'];
    if (!row) return;
    if (addressKey(row) !== addressKey(wanted)) this.#immutable(wanted, path, formatAddress(row));
    else this.#mayTakeUp(wanted, row, path, formatAddress(row));
  }

  /** A new resource with an old address would give somebody's mail to another. */
  #immutable(wanted: Wanted, path: Path, was: string): void {
    const what = path.at(-1) === 'domain' ? 'a domain' : 'an address';
    const message = `${what} can't be changed: ${wanted.label} was ${was}; make another resource for the new one`;
    this.#fault(wanted, path, 'InvalidSpec', message);
  }

  #mayTakeUp(wanted: Wanted, row: Row, path: Path, name: string): void {
    if (row.resourceUid === wanted.uid) return;
    const standing = standingOf(row, this.#uids);
    if (standing === 'kept') {
      this.#fault(wanted, path, 'Conflict', `${name} is here already and follows ${row.resourceName}`);
      return;
    }
    // What a login in development mode made was never anything but provisional.
    if (standing !== 'loose' || row.managedBy === 'login' || wanted.isAdopting) return;
    const how = 'annotate it with postrider.dev/adopt: "true" to take it up with all its mail';
    this.#fault(wanted, path, 'UnmanagedRowExists', `${name} is here already and follows no resource; ${how}`);
  }

  /** An account stands where the resource wants an address; `own` is the row that it has or takes up. */
  #freeOfAccount(wanted: WantedAccount | WantedAlias, address: Named, path: Path, own: ObservedAccount | null): void {
    const key = addressKey(address);
    const row = this.#accounts.get(key) ?? this.#fixed.get(key);
    if (!row || row === own) return;
    const standing = this.#standing(row);
    const isRemoved = standing === 'gone' && row.isPurgeDue && !this.#keptAddresses.has(addressKey(row));
    if (standing === 'followed' || isRemoved) return;
    const name = formatAddress(address);
    if (standing === 'kept') {
      this.#fault(wanted, path, 'AddressConflict', `${name} is an address of Mailbox ${row.resourceName}`);
    } else if (row.managedBy === 'login') {
      const message = `${name} is an account that a login in development mode made`;
      this.#fault(wanted, path, 'UnmanagedRowExists', message);
    } else if (row.managedBy === 'nobody') {
      this.#fault(wanted, path, 'UnmanagedRowExists', `${name} is an account here that follows no resource`);
    } else {
      const how =
        'its mail is kept; put the Mailbox back with deletionPolicy: Delete and remove it again to be rid of it';
      const message = `${name} is the address of the deleted Mailbox ${row.resourceName}; ${how}`;
      this.#fault(wanted, path, 'AddressConflict', message);
    }
  }

  /** Another account that the plan does not touch has the mailbox's own address as a further one. */
  #freeOfFixed(wanted: WantedAccount, own: ObservedAccount | null): void {
    const row = this.#fixed.get(addressKey(wanted));
    if (!row || row === own) return;
    const who = row.resourceName === null ? 'an account that follows no resource' : `Mailbox ${row.resourceName}`;
    const message = `${formatAddress(wanted)} is a further address of ${who}`;
    this.#fault(wanted, ['spec', 'address'], 'AddressConflict', message);
  }

  /** An alias stands where an account wants an address: one whose resource is gone makes room. */
  #freeOfAlias(wanted: WantedAccount, address: Named, path: Path): void {
    const row = this.#aliases.get(addressKey(address));
    if (!row) return;
    const standing = this.#standing(row);
    const name = formatAddress(address);
    if (standing === 'gone') this.droppedAliases.add(row);
    else if (standing === 'kept') {
      this.#fault(wanted, path, 'AddressConflict', `${name} is the address of MailAlias ${row.resourceName}`);
    } else if (standing === 'loose') {
      this.#fault(wanted, path, 'UnmanagedRowExists', `${name} is an alias here that follows no resource`);
    }
  }

  #fault(wanted: Wanted, path: Path, reason: FaultReason, message: string): void {
    this.faults.push(resourceFault(wanted.ref, wanted.at(path), reason, message));
  }
}
