/** The row that a MailRoute asks for, with what its Secrets hold. Pure. */
import type { MailRouteTarget } from './mail-route.ts';
import { resourceFault } from './fault.ts';
import type { FaultReason, Path, Place, ResourceFault, ResourceRef } from './fault.ts';
import type { MailRouteResource, SecretResource } from './resource.ts';

/** Of one target, each null where it names none. */
export type TargetSecrets = {
  readonly username: string | null;
  readonly password: string | null;
  /** PEM. */
  readonly ca: string | null;
  /** Signs HTTP requests. */
  readonly key: string | null;
  readonly socksUsername: string | null;
  readonly socksPassword: string | null;
};

/** What stands in the column `spec`. */
export type StoredRouteSpec = {
  readonly targets: readonly MailRouteTarget[];
  readonly maxConnections: number;
  readonly messagesPerMinute: number | null;
};

export type WantedRoute = {
  readonly uid: string;
  readonly ref: ResourceRef;
  readonly at: (path: Path) => Place;
  readonly resourceName: string;
  readonly label: string;
  readonly specHash: string;
  readonly priority: number;
  readonly senderDomains: readonly string[];
  readonly recipientDomains: readonly string[];
  readonly spec: StoredRouteSpec;
  /** One for each target, as the text that is sealed. */
  readonly secrets: string;
};

/** Under which the secrets of a route are sealed: bound to the resource. */
export function routeSealContext(uid: string): string {
  return `mail-route ${uid} secrets`;
}

/** UTF-8 bytes of a SOCKS user and password (RFC 1929 section 2). */
const maxSocksBytes = 255;

type Found = { readonly route: WantedRoute | null; readonly faults: readonly ResourceFault[] };

/** `isComplete` false: a Secret that is missing may stand in a manifest that has a fault. */
export function wantedRoute(
  resource: MailRouteResource,
  secrets: ReadonlyMap<string, SecretResource>,
  isComplete: boolean,
  specHash: string,
): Found {
  const reader = new SecretReader(resource, secrets, isComplete);
  const perTarget = resource.spec.targets.map((target, i) => reader.read(target, i));
  if (reader.faults.length > 0 || reader.isMissing) return { route: null, faults: reader.faults };
  const { match, priority, targets, limits } = resource.spec;
  const route: WantedRoute = {
    uid: resource.uid,
    ref: resource,
    at: resource.at,
    resourceName: `${resource.namespace}/${resource.name}`,
    label: `${resource.kind} ${resource.namespace}/${resource.name}`,
    specHash,
    priority,
    senderDomains: match.senderDomains,
    recipientDomains: match.recipientDomains,
    spec: {
      targets,
      maxConnections: limits.maxConnections,
      messagesPerMinute: limits.messagesPerMinute ?? null,
    },
    secrets: JSON.stringify(perTarget),
  };
  return { route, faults: [] };
}

class SecretReader {
  readonly faults: ResourceFault[] = [];
  isMissing = false;
  readonly #resource: MailRouteResource;
  readonly #secrets: ReadonlyMap<string, SecretResource>;
  readonly #isComplete: boolean;

  constructor(resource: MailRouteResource, secrets: ReadonlyMap<string, SecretResource>, isComplete: boolean) {
    this.#resource = resource;
    this.#secrets = secrets;
    this.#isComplete = isComplete;
  }

  read(target: MailRouteTarget, i: number): TargetSecrets {
    const auth = 'authSecretRef' in target ? target.authSecretRef : undefined;
    const ca = 'tls' in target && 'caSecretRef' in target.tls ? target.tls.caSecretRef : undefined;
    const signing = target.type === 'HTTP' ? target.signingSecretRef : undefined;
    const socks = 'socks' in target ? target.socks?.authSecretRef : undefined;
    const place = (...path: string[]): Place => this.#resource.at(['spec', 'targets', i, ...path]);
    const value = (name: string | undefined, key: string, at: Place): string | null =>
      name === undefined ? null : this.#value(name, key, at);
    const socksPlace = place('socks', 'authSecretRef', 'name');
    return {
      username: value(auth?.name, 'username', place('authSecretRef', 'name')),
      password: value(auth?.name, 'password', place('authSecretRef', 'name')),
      ca: value(ca?.name, ca?.key ?? '', place('tls', 'caSecretRef', 'name')),
      key: value(signing?.name, signing?.key ?? '', place('signingSecretRef', 'name')),
      socksUsername: this.#bounded(value(socks?.name, 'username', socksPlace), socksPlace),
      socksPassword: this.#bounded(value(socks?.name, 'password', socksPlace), socksPlace),
    };
  }

  #value(name: string, key: string, place: Place): string | null {
    const { namespace } = this.#resource;
    const secret = this.#secrets.get(`${namespace}/${name}`);
    const text = secret?.spec.get(key)?.replace(/\r?\n$/, '');
    if (text !== undefined && text !== '' && !text.includes('\0')) return text;
    this.isMissing = true;
    if (secret) {
      const message = `Secret ${namespace}/${name} has no usable value in its key ${key}`;
      this.#fault(secret.at(['stringData', key]), 'KeyMissing', message);
    } else if (this.#isComplete) this.#fault(place, 'SecretNotFound', `there is no Secret ${namespace}/${name}`);
    return null;
  }

  #bounded(text: string | null, place: Place): string | null {
    if (text !== null && Buffer.byteLength(text) > maxSocksBytes) {
      const message = `the user or password for the SOCKS proxy is longer than ${maxSocksBytes} bytes`;
      this.#fault(place, 'InvalidSpec', message);
    }
    return text;
  }

  /** Without its secrets a route would lead mail somewhere else: it stays as it was. */
  #fault(place: Place, reason: FaultReason, message: string): void {
    if (this.faults.some((fault) => fault.message === message)) return;
    this.faults.push(resourceFault(this.#resource, place, reason, message, true));
  }
}
