/** `postrider suppression`: addresses that a domain sends nothing to. */
import { parseArgs } from 'node:util';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { ServerConfig } from '#shared/config/server-config.ts';
import { checkSchema } from '#shared/db/migrate.ts';
import { canonicalDomain } from '#shared/text/domain-name.ts';
import { parseAddress } from '#shared/text/address.ts';
import { createSuppressionList, type SuppressionList, type SuppressionRow } from '#server/bounce/suppression.ts';
import { withDatabase, type Print } from './database-commands.ts';

export type SuppressionRequest =
  | { readonly do: 'list'; readonly domain: string | null; readonly isJson: boolean }
  | { readonly do: 'add'; readonly domain: string; readonly address: string; readonly reason: string }
  | { readonly do: 'remove'; readonly domain: string; readonly address: string };

const pageRows = 1000;

/** Null: the arguments make no sense. What is left of them are options of the configuration. */
export function suppressionRequest(
  args: readonly string[],
): { readonly request: SuppressionRequest; readonly rest: readonly string[] } | null {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      reason: { type: 'string', default: 'by an administrator' },
      local: { type: 'boolean', default: false },
      config: { type: 'string' },
    },
  });
  const rest = [
    ...(values.local ? ['--local'] : []),
    ...(values.config === undefined ? [] : ['--config', values.config]),
  ];
  const [what, name, address, ...more] = positionals;
  const domain = name === undefined ? null : canonicalDomain(name);
  if (more.length > 0 || (name !== undefined && domain === null)) return null;
  if (what === 'list' && address === undefined) return { request: { do: what, domain, isJson: values.json }, rest };
  if (domain === null || address === undefined || parseAddress(address) === null) return null;
  if (what === 'add') return { request: { do: what, domain, address, reason: values.reason }, rest };
  return what === 'remove' ? { request: { do: what, domain, address }, rest } : null;
}

export function suppression(config: ServerConfig, request: SuppressionRequest, print: Print): Promise<number> {
  return withDatabase(config, async (database) => {
    await checkSchema(database);
    const list = createSuppressionList(database.db);
    switch (request.do) {
      case 'list':
        await printList(list, request, print);
        return;
      case 'add':
        await list.add({ ...request, origin: 'manual' });
        print(`${request.domain} sends nothing to ${request.address} any more`);
        return;
      case 'remove':
        if (!(await list.remove(request.domain, request.address))) {
          throw new ProgramFault(
            78,
            `${request.address} is not on the list of ${request.domain}`,
            `Run: postrider suppression list ${request.domain}`,
          );
        }
        print(`${request.domain} sends to ${request.address} again`);
        return;
      default:
        request satisfies never;
    }
  });
}

async function printList(
  list: SuppressionList,
  { domain, isJson }: Extract<SuppressionRequest, { readonly do: 'list' }>,
  print: Print,
): Promise<void> {
  let after: string | null = null;
  for (;;) {
    const rows: readonly SuppressionRow[] = await list.list(domain, after, pageRows);
    for (const row of rows) print(isJson ? JSON.stringify(row) : line(row));
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageRows) return;
    after = `${last.domain} ${last.address}`;
  }
}

function line({ domain, address, origin, reason, hits, since, expiresAt }: SuppressionRow): string {
  const until = expiresAt === null ? 'until removed' : `until ${day(expiresAt)}`;
  const times = hits === 1 ? '' : `, ${hits} times`;
  return `${domain.padEnd(24)} ${address.padEnd(32)} ${origin.padEnd(10)} ${day(since)} ${until.padEnd(16)} ${reason}${times}`;
}

function day(at: Date): string {
  return at.toISOString().slice(0, 10);
}
