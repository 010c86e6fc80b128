/** Each kind with its two truths: the CRD, and the spec that the program reads manifests with. */
import type { z } from 'zod';
import { mailAliasSpec } from '#shared/provisioning/mail-alias.ts';
import { mailCredentialSpec } from '#shared/provisioning/mail-credential.ts';
import { mailDomainSpec } from '#shared/provisioning/mail-domain.ts';
import { mailPolicySpec } from '#shared/provisioning/mail-policy.ts';
import { mailRouteSpec } from '#shared/provisioning/mail-route.ts';
import { mailServerSpec } from '#shared/provisioning/mail-server.ts';
import { mailboxSpec } from '#shared/provisioning/mailbox.ts';
import { readCrds } from '../../tools/crds.ts';
import type { Crd } from '../../tools/crds.ts';

export const crds = readCrds();

const specs: Readonly<Record<string, z.ZodType>> = {
  MailServer: mailServerSpec,
  MailDomain: mailDomainSpec,
  Mailbox: mailboxSpec,
  MailAlias: mailAliasSpec,
  MailCredential: mailCredentialSpec,
  MailRoute: mailRouteSpec,
  MailPolicy: mailPolicySpec,
};

export function crdOf(kind: string): Crd {
  const crd = crds.find((each) => each.kind === kind);
  if (!crd) throw new Error(`there is no ${kind}`);
  return crd;
}

export function specOf(kind: string): z.ZodType {
  const spec = specs[kind];
  if (!spec) throw new Error(`there is no spec of ${kind}`);
  return spec;
}

export function collectionOf(kind: string): string {
  const { group, version, plural } = crdOf(kind);
  return `/apis/${group}/${version}/namespaces/default/${plural}`;
}

export function manifestOf(kind: string, spec: unknown, name = 'sample') {
  const { group, version } = crdOf(kind);
  return { apiVersion: `${group}/${version}`, kind, metadata: { name, namespace: 'default' }, spec };
}
