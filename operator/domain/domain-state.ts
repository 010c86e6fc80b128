/** One MailDomain with everything that its DNS depends on, gathered at one moment. */
import type { Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import { dkimRecords } from '#shared/directory/dkim-keys.ts';
import { mailDomainSpec, type MailDomainSpec } from '#shared/provisioning/mail-domain.ts';
import { mailServerSpec } from '#shared/provisioning/mail-server.ts';
import type { MailDomain } from '#operator/api/mail-domain.ts';
import type { ResourceCaches } from '#operator/foundation/resource-caches.ts';
import { domainNames, domainNeeds, type NeedsInput } from './domain-needs.ts';
import { readClaimants, readDomainRow, type DomainRow } from './domain-rows.ts';
import { wantedRecords, type DomainNeeds, type WantedRecord } from './wanted-records.ts';

export type DomainState = {
  readonly object: MailDomain;
  readonly namespace: string;
  readonly spec: MailDomainSpec;
  readonly serverUid: string;
  /** Null: not accepted, or not yet. */
  readonly row: DomainRow | null;
  readonly claimants: ReadonlyMap<string, readonly string[]>;
  readonly needsInput: NeedsInput;
  readonly needs: DomainNeeds;
  readonly wanted: readonly WantedRecord[];
};

/**
 * Null: there is no such resource, it goes, it makes no sense, or its MailServer does not exist; whoever says so is
 * another part of the operator. Rejects where the database can't be read.
 */
export async function gatherDomain(
  caches: Pick<ResourceCaches, 'domains' | 'servers'>,
  db: Kysely<Database>,
  at: { readonly namespace: string; readonly name: string },
): Promise<DomainState | null> {
  const object = caches.domains.get(at.namespace, at.name);
  if (object === undefined || object.metadata.deletionTimestamp !== undefined) return null;
  const { data: spec } = mailDomainSpec.safeParse(object.spec);
  if (spec === undefined) return null;
  const { serverRef } = spec;
  const server = caches.servers.get(serverRef.namespace ?? at.namespace, serverRef.name);
  const { data: serverSpec } = mailServerSpec.safeParse(server?.spec);
  if (server === undefined || serverSpec === undefined) return null;
  const row = await readDomainRow(db, object.metadata.uid);
  const claimants = await readClaimants(db, domainNames(spec));
  const needsInput: NeedsInput = {
    namespace: at.namespace,
    domain: spec,
    server: serverSpec,
    serverUid: server.metadata.uid,
    dkim: row === null ? [] : await dkimRecords(db, spec.domain),
    claimants,
  };
  const needs = domainNeeds(needsInput);
  return {
    object,
    namespace: at.namespace,
    spec,
    serverUid: server.metadata.uid,
    row,
    claimants,
    needsInput,
    needs,
    wanted: wantedRecords(needs),
  };
}
