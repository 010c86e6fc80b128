import { formatAddress } from '#shared/text/address.ts';
import { faultAt } from './manifest.ts';
import type { ManifestFault } from './manifest.ts';
import { followsNone } from './observed.ts';
import type { ObservedAccount, ObservedAlias, ObservedDirectory, ObservedDomain } from './observed.ts';
import { addressKey, uidsOf } from './wanted.ts';
import type { Named, WantedAccount, WantedAlias, WantedDirectory, WantedDomain } from './wanted.ts';

type Wanted = WantedDomain | WantedAccount | WantedAlias;
type Row = ObservedDomain | ObservedAccount | ObservedAlias;

/** Who has a name or address in the database, and whether a resource that wants it may have it. */
export class Occupants {
  readonly faults: ManifestFault[] = [];
  /** Aliases whose resource is gone, that stand where another kind of resource wants to be. */
  readonly droppedAliases = new Set<ObservedAlias>();
  readonly #uids: ReadonlySet<string>;
  readonly #byUid: ReadonlyMap<string, Row>;
  readonly #domainNames = new Map<string, ObservedDomain>();
  readonly #accounts = new Map<string, ObservedAccount>();
  /** Further addresses of accounts that follow no resource; those of others are the plan's to move. */
  readonly #fixed = new Map<string, ObservedAccount>();
  readonly #aliases = new Map<string, ObservedAlias>();

  constructor(wanted: WantedDirectory, observed: ObservedDirectory) {
    const { domains, accounts, aliases } = observed;
    this.#uids = uidsOf(wanted);
    this.#byUid = new Map(
      [...domains, ...accounts, ...aliases].flatMap((row) =>
        row.resourceUid === null ? [] : [[row.resourceUid, row]],
      ),
    );
    for (const row of domains) {
      this.#domainNames.set(row.name, row);
      if (followsNone(row, this.#uids)) for (const name of row.aliasDomains) this.#domainNames.set(name, row);
    }
    for (const row of accounts) {
      this.#accounts.set(addressKey(row), row);
      if (followsNone(row, this.#uids)) for (const each of row.aliases) this.#fixed.set(addressKey(each), row);
    }
    for (const row of aliases) this.#aliases.set(addressKey(row), row);
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

  #check({ domains, accounts, aliases }: WantedDirectory): void {
    for (const domain of domains) {
      const row = this.domainRow(domain);
      const path = ['spec', 'domain'];
      if (row && row.name !== domain.name) {
        if (row.resourceUid === domain.uid) this.#immutable(domain, path, row.name);
        else this.#fault(domain, path, `${domain.name} is an alias domain of ${row.name}, which follows no resource`);
      } else if (row) this.#mayTakeUp(domain, row, path, `the domain ${row.name}`);
      for (const [i, name] of domain.aliasDomains.entries()) this.#checkAliasDomain(domain, name, i);
    }
    for (const account of accounts) {
      this.#checkOwn(account, this.accountRow(account));
      this.#freeOfAlias(account, account, ['spec', 'address']);
      for (const [i, address] of account.aliases.entries()) {
        const path = ['spec', 'aliases', i];
        this.#freeOfAccount(account, address, path);
        this.#freeOfAlias(account, address, path);
      }
    }
    for (const alias of aliases) {
      this.#checkOwn(alias, this.aliasRow(alias));
      this.#freeOfAccount(alias, alias, ['spec', 'address']);
    }
  }

  #checkAliasDomain(domain: WantedDomain, name: string, i: number): void {
    const row = this.#domainNames.get(name);
    if (!row || row.resourceUid === domain.uid) return;
    const who = row.resourceName === null ? 'follows no resource' : `was made by MailDomain ${row.resourceName}`;
    this.#fault(domain, ['spec', 'aliasDomains', i], `${name} is a domain here already, which ${who}`);
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
    this.#fault(
      wanted,
      path,
      `${what} can't be changed: ${wanted.label} was ${was}; make another resource for the new one`,
    );
  }

  #mayTakeUp(wanted: Wanted, row: Row, path: Path, name: string): void {
    // What a login in development mode made was never anything but provisional.
    const isOrphan = row.managedBy !== 'login' && followsNone(row, this.#uids);
    if (!isOrphan || wanted.isAdopting) return;
    const how = 'annotate it with postrider.dev/adopt: "true" to take it up with all its mail';
    this.#fault(wanted, path, `${name} is here already and follows no resource; ${how}`);
  }

  /** An account stands where the resource wants an address of its own. */
  #freeOfAccount(wanted: WantedAccount | WantedAlias, address: Named, path: Path): void {
    const key = addressKey(address);
    const row = this.#accounts.get(key) ?? this.#fixed.get(key);
    if (!row || (row.resourceUid !== null && this.#uids.has(row.resourceUid))) return;
    const name = formatAddress(address);
    if (row.managedBy === 'login')
      this.#fault(wanted, path, `${name} is an account that a login in development mode made`);
    else if (row.managedBy === 'nobody')
      this.#fault(wanted, path, `${name} is an account here that follows no resource`);
    else {
      const how =
        'its mail is kept; put the Mailbox back with deletionPolicy: Delete and remove it again to be rid of it';
      this.#fault(wanted, path, `${name} is the address of the deleted Mailbox ${row.resourceName}; ${how}`);
    }
  }

  /** An alias stands where an account wants an address: one whose resource is gone makes room. */
  #freeOfAlias(wanted: WantedAccount, address: Named, path: Path): void {
    const row = this.#aliases.get(addressKey(address));
    if (!row || (row.resourceUid !== null && this.#uids.has(row.resourceUid))) return;
    if (row.managedBy === 'reconciler' && (row.isRetained || row.deletionPolicy !== 'Orphan'))
      this.droppedAliases.add(row);
    else this.#fault(wanted, path, `${formatAddress(address)} is an alias here that follows no resource`);
  }

  #fault(wanted: Wanted, path: Path, message: string): void {
    this.faults.push(faultAt(wanted.at(path), message));
  }
}

type Path = readonly (string | number)[];
