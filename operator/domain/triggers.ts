/** Which changes of objects are a reason to look at a domain or a certificate anew. */
import type { MailDomain } from '#operator/api/mail-domain.ts';
import type { MailServer } from '#operator/api/mail-server.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import type { Change } from '#operator/kube/object-store.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { findCondition } from '#operator/status/condition.ts';
import { accountSecretName } from './acme-account.ts';
import { acmeSecretName } from './acme-secret.ts';
import { certificateNames } from './cert-manager.ts';
import { authoritySecretName, trustSecretName } from './certificate-authority-secret.ts';
import type { OptionalKind } from './optional-kind.ts';

/** The wish is another one, or the resource was accepted and has a row by now. */
export function changesWish(change: Change<MailDomain> | Change<MailServer>): boolean {
  if (change.kind !== 'changed') return true;
  const { old, object } = change;
  if (old.metadata.generation !== object.metadata.generation) return true;
  if (old.metadata.deletionTimestamp !== object.metadata.deletionTimestamp) return true;
  const said = ({ status }: MailDomain | MailServer): string =>
    ['Accepted', 'Synced'].map((type) => findCondition(status, type)?.status ?? '').join();
  return said(old) !== said(object);
}

/** The key of a resource's certificate, which is also its row's owner. */
export function certificateKey({ kind, metadata }: KubeObject): string {
  return `${kind}/${metadata.uid}`;
}

/** Objects of others that we made for one of our resources. */
export function followOwned<T extends KubeObject>(kind: OptionalKind<T>, changed: (ownerUid: string) => void): void {
  kind.onChange(({ metadata }) => {
    for (const { uid } of metadata.ownerReferences ?? []) changed(uid);
  });
}

/** Secrets that certificates come from, or that tell whom to trust. */
export function followSecrets(
  { resources, namespace: operatorNamespace }: OperatorFoundation,
  stack: AsyncDisposableStack,
  enqueue: (certificateKey: string) => void,
): void {
  const changed = ({ object: { metadata } }: Change<KubeObject>): void => {
    const isAuthority = metadata.namespace === operatorNamespace && metadata.name === authoritySecretName;
    for (const object of [...resources.servers.items(), ...resources.domains.items()]) {
      const isIts = object.metadata.namespace === metadata.namespace && secretsOf(object).includes(metadata.name);
      if (isIts || (isAuthority && object.spec.tls?.mode === 'SelfSigned')) enqueue(certificateKey(object));
    }
  };
  stack.use(resources.managedSecrets.onChange(changed));
  stack.use(resources.otherSecrets.onChange(changed));
}

function secretsOf(object: MailServer | MailDomain): readonly string[] {
  const { tls } = object.spec;
  switch (tls?.mode) {
    case 'Secret':
      return tls.secretRef ? [tls.secretRef.name] : [];
    case 'CertManager':
      return [certificateNames(object).secret];
    case 'SelfSigned':
      return [trustSecretName(object)];
    case 'ACME':
      return [acmeSecretName(object), ...accountSecrets(object)];
    default:
      return [];
  }
}

function accountSecrets(object: MailServer | MailDomain): readonly string[] {
  if (object.kind !== 'MailServer') return [];
  const server = object as MailServer;
  const { acme } = server.spec;
  if (acme === undefined) return [];
  const { externalAccountBinding: binding } = acme;
  return [accountSecretName(server, acme), ...(binding ? [binding.secretRef.name] : [])];
}
