/** An operator in this process on a real API server and a real database, and what tests ask of them. */
import { parseAllDocuments } from 'yaml';
import { systemClock } from '#shared/base/clock.ts';
import { loadOperatorConfig } from '#shared/config/operator-config.ts';
import { createLogger } from '#shared/observe/logger.ts';
import { startOperator, type RunningOperator } from '#operator/compose.ts';
import { ownTypes } from '#operator/foundation/resource-caches.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { namespaces, secrets, type Secret } from '#operator/kube/core-resources.ts';
import { isNotFound } from '#operator/kube/kube-error.ts';
import type { KubeAccess } from '#operator/kube/kube-access.ts';
import type { KubeObject, ResourceType, Writable } from '#operator/kube/resource.ts';
import { findCondition, type Condition, type ResourceStatus } from '#operator/status/condition.ts';
import { until } from './until.ts';

export type OperatorSettings = {
  readonly access: KubeAccess;
  readonly databaseUrl: string;
  /** Settings of docs/configuration.md. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where lines of the log go; nowhere when left out. */
  readonly log?: (line: string) => void;
};

export function startTestOperator({ access, databaseUrl, env = {}, log }: OperatorSettings): Promise<RunningOperator> {
  const { config } = loadOperatorConfig({
    DATABASE_URL: databaseUrl,
    OPERATOR_NAMESPACE: 'default',
    OPERATOR_IDENTITY: 'test',
    HTTP_HOST: '127.0.0.1',
    HTTP_PORT: '0',
    ...env,
  });
  const logger = createLogger({
    level: log ? 'debug' : 'silent',
    format: 'text',
    ...(log && { write: log }),
  });
  return startOperator({ config, access, logger, clock: systemClock });
}

type StatusObject = KubeObject & { readonly spec?: unknown; readonly status?: ResourceStatus };

export class Cluster {
  readonly client: KubeClient;

  constructor(client: KubeClient) {
    this.client = client;
  }

  /** Applies YAML documents; a namespace that is not there is made. */
  async apply(yaml: string): Promise<void> {
    for (const document of parseAllDocuments(yaml)) {
      const object = document.toJS() as Writable<KubeObject> | null;
      if (object === null) continue; // Comments alone.
      const namespace = object.metadata.namespace ?? 'default';
      if (namespace !== 'default') await this.makeNamespace(namespace);
      await this.client.apply(typeOf(object.kind), { ...object, metadata: { ...object.metadata, namespace } });
    }
  }

  async makeNamespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.client.apply(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
  }

  get(kind: string, name: string, namespace = 'default'): Promise<StatusObject> {
    return this.client.get<StatusObject>(typeOf(kind), { namespace, name });
  }

  delete(kind: string, name: string, namespace = 'default'): Promise<boolean> {
    return this.client.delete(typeOf(kind), { namespace, name });
  }

  async exists(kind: string, name: string, namespace = 'default'): Promise<boolean> {
    try {
      await this.get(kind, name, namespace);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  /** The condition, where it is about the resource's present generation. */
  async condition(kind: string, name: string, type: string, namespace = 'default'): Promise<Condition | null> {
    const { status, metadata } = await this.get(kind, name, namespace);
    const condition = findCondition(status, type);
    return condition?.observedGeneration === metadata.generation ? (condition ?? null) : null;
  }

  /** `status reason` of a condition, for `expect.poll`. */
  async says(kind: string, name: string, type: string, namespace = 'default'): Promise<string> {
    const condition = await this.condition(kind, name, type, namespace);
    return condition ? `${condition.status} ${condition.reason}` : 'nothing';
  }

  /** Resolves when the condition, Ready unless told, is True; `expect.poll` has no place before tests. */
  async becomes(kind: string, name: string, namespace = 'default', type = 'Ready'): Promise<void> {
    let said = '';
    const isTrue = async (): Promise<boolean> => {
      said = await this.says(kind, name, type, namespace);
      return said.startsWith('True ');
    };
    await until(isTrue, 60_000, () => `${kind} ${namespace}/${name} ${type}: ${said}`);
  }

  /** Of the installation, once the operator has made it. */
  async keyring(): Promise<string> {
    let text: string | undefined;
    await until(async () => {
      text = (await this.secret('postrider-keyring'))?.['keyring'];
      return text !== undefined;
    }, 20_000);
    return text ?? '';
  }

  async secret(name: string, namespace = 'default'): Promise<Readonly<Record<string, string>> | null> {
    try {
      const { data = {} } = await this.client.get<Secret>(secrets, { namespace, name });
      return Object.fromEntries(
        Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64').toString('utf8')]),
      );
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }
}

function typeOf(kind: string): ResourceType {
  const type = [...ownTypes, secrets, namespaces].find((each) => each.kind === kind);
  if (!type) throw new Error(`${kind} is no kind of the tests`);
  return type;
}

/** A MailServer that lists every domain of the tests, which needs no proof then. */
export const mailServer = `
apiVersion: postrider.dev/v1alpha1
kind: MailServer
metadata: {name: default}
spec: {hostname: mail.example.test, domains: ['*.test'], allowedNamespaces: {from: All}}
`;

/** No name server is asked for it. */
export const exampleDomain = `
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: example}
spec: {domain: example.test, allowedNamespaces: {from: All}, dns: {verify: false}}
`;

export function mailbox(name: string, more = '', namespace = 'default'): string {
  return `
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: ${name}, namespace: ${namespace}}
spec: {address: ${name}@example.test${more === '' ? '' : `, ${more}`}}
`;
}
