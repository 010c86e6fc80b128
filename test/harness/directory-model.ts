/** The directory as it is after a plan's actions: what shared/reconcile does in SQL, on plain values. */
import type { AccountId } from '#shared/base/ids.ts';
import type {
  ObservedAccount,
  ObservedAlias,
  ObservedDirectory,
  ObservedDomain,
} from '#shared/provisioning/observed.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import { addressKey } from '#shared/provisioning/wanted.ts';

export function applyToModel(observed: ObservedDirectory, actions: readonly Action[]): ObservedDirectory {
  let { domains, accounts, aliases } = observed;
  const change = <Row extends { id: bigint }>(rows: readonly Row[], id: bigint, to: Partial<Row>): readonly Row[] =>
    rows.map((row) => (row.id === id ? { ...row, ...to } : row));
  const nextId = (): bigint =>
    [...domains, ...accounts, ...aliases].reduce((most, { id }) => (id > most ? id : most), 0n) + 1n;
  const released = { managedBy: 'nobody', resourceUid: null, resourceName: null } as const;
  for (const action of actions) {
    switch (action.do) {
      case 'purge-account':
        accounts = accounts.filter(({ id }) => id !== action.id);
        break;
      case 'delete-alias':
        aliases = aliases.filter(({ id }) => id !== action.id);
        break;
      case 'delete-domain':
        domains = domains.filter(({ id }) => id !== action.id);
        break;
      case 'rename-domain': {
        const from = domains.find(({ id }) => id === action.id)?.name;
        const at = <One extends { readonly domain: string }>(one: One): One =>
          one.domain === from ? { ...one, domain: action.name } : one;
        domains = change(domains, action.id, {
          name: action.name,
          isRetained: true,
          hasOwnName: false,
          aliasDomains: [],
        });
        accounts = accounts.map((row) => ({ ...at(row), aliases: row.aliases.map(at) }));
        aliases = aliases.map(at);
        break;
      }
      case 'remove-address':
        accounts = accounts.map((row) => ({
          ...row,
          aliases: row.aliases.filter((each) => addressKey(each) !== addressKey(action.address)),
        }));
        break;
      case 'add-address':
        accounts = accounts.map((row) =>
          addressKey(row) === addressKey(action.owner) ? { ...row, aliases: [...row.aliases, action.address] } : row,
        );
        break;
      case 'remove-domain-name':
        domains = domains.map((row) => ({
          ...row,
          aliasDomains: row.aliasDomains.filter((name) => name !== action.name),
        }));
        break;
      case 'add-domain-name':
        domains = domains.map((row) =>
          row.name !== action.domain
            ? row
            : action.name === row.name
              ? { ...row, hasOwnName: true }
              : { ...row, aliasDomains: [...row.aliasDomains, action.name] },
        );
        break;
      case 'retire-account':
        accounts = change(accounts, action.id, { isRetained: true });
        break;
      case 'retire-alias':
        aliases = change(aliases, action.id, { isRetained: true });
        break;
      case 'retire-domain':
        domains = change(domains, action.id, { isRetained: true });
        break;
      case 'release':
        if (action.table === 'account') accounts = change(accounts, action.id, released);
        else if (action.table === 'alias') aliases = change(aliases, action.id, released);
        else domains = change(domains, action.id, released);
        break;
      case 'put-domain': {
        const { uid, aliasDomains, ...rest } = action.domain;
        const row: ObservedDomain = {
          id: nextId(),
          hasOwnName: true,
          aliasDomains: [],
          isRetained: false,
          managedBy: 'reconciler',
          ...rest,
          resourceUid: uid,
        };
        domains =
          action.id === null
            ? [...domains, row]
            : change(domains, action.id, {
                ...row,
                id: action.id,
                aliasDomains: domains.find(({ id }) => id === action.id)?.aliasDomains ?? aliasDomains,
              });
        break;
      }
      case 'put-account': {
        const { uid, password: _, aliases: __, ...rest } = action.account;
        const put = {
          ...rest,
          resourceUid: uid,
          isRetained: false,
          managedBy: 'reconciler',
          isPurgeDue: false,
        } as const;
        const row: ObservedAccount = {
          ...put,
          id: nextId() as AccountId,
          hasOwnAddress: true,
          aliases: [],
          password: 'none',
        };
        accounts = action.id === null ? [...accounts, row] : change(accounts, action.id, put);
        break;
      }
      case 'put-alias': {
        const { uid, ...rest } = action.alias;
        const put = { ...rest, resourceUid: uid, isRetained: false, managedBy: 'reconciler' } as const;
        const row: ObservedAlias = { ...put, id: nextId(), hasOwnAddress: true };
        aliases = action.id === null ? [...aliases, row] : change(aliases, action.id, put);
        break;
      }
      case 'put-route':
      case 'delete-route':
      case 'put-credential':
      case 'delete-credential':
      case 'set-credential-password':
      case 'remove-expired-passwords':
        throw new Error('neither MailRoute nor MailCredential is in these tests');
      case 'set-password':
        accounts = accounts.map((row) =>
          addressKey(row) === addressKey(action.account) ? { ...row, password: 'same' } : row,
        );
        break;
    }
  }
  return { domains, accounts, aliases, routes: [], credentials: [] };
}
