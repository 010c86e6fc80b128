/**
 * YAML manifests as typed resources. Everything that is wrong is reported at once, each with its file, line and
 * column; a resource that has a fault is left out.
 */
import { isMap, isPair, isScalar, LineCounter, parseAllDocuments, visit } from 'yaml';
import type { Document, Node, YAMLError } from 'yaml';
import { z } from 'zod';
import { unreachable } from '#shared/base/unreachable.ts';
import { faultAt } from './fault.ts';
import type { ManifestFault, Path, Place } from './fault.ts';
import { resourceUid } from './identity.ts';
import { mailAliasSpec } from './mail-alias.ts';
import { mailCredentialSpec } from './mail-credential.ts';
import { mailDomainSpec, mailDomainWithoutEffect } from './mail-domain.ts';
import { mailPolicySpec } from './mail-policy.ts';
import { mailRouteSpec } from './mail-route.ts';
import { mailServerSpec } from './mail-server.ts';
import { mailboxSpec } from './mailbox.ts';
import type {
  MailAliasResource,
  MailboxResource,
  MailCredentialResource,
  MailDomainResource,
  MailPolicyResource,
  MailRouteResource,
  MailServerResource,
  Resource,
  Resources,
  SecretResource,
} from './resource.ts';
import { objectName } from './schema-parts.ts';
import { secretBody, secretValues } from './secret.ts';

/** Bytes of one manifest file. */
export const maxManifestBytes = 16 * 1024 * 1024;

export type ManifestFile = { readonly name: string; readonly text: string };

export type Manifests = {
  readonly resources: Resources;
  readonly faults: readonly ManifestFault[];
  /** What is accepted but has no effect yet. */
  readonly notices: readonly ManifestFault[];
};

const ours = 'postrider.dev/v1alpha1';

const strings = z.record(z.string(), z.string());
/** What a person writes, and what `kubectl get -o yaml` adds. */
const metadata = z.strictObject({
  name: objectName,
  namespace: objectName.max(63).default('default'),
  labels: strings.optional(),
  annotations: strings.default({}),
  finalizers: z.unknown().optional(),
  ownerReferences: z.unknown().optional(),
  managedFields: z.unknown().optional(),
  uid: z.unknown().optional(),
  resourceVersion: z.unknown().optional(),
  generation: z.unknown().optional(),
  creationTimestamp: z.unknown().optional(),
});

const head = { apiVersion: z.literal(ours), metadata, status: z.unknown().optional() };
const schemas = {
  MailDomain: z.strictObject({ ...head, kind: z.literal('MailDomain'), spec: mailDomainSpec }),
  Mailbox: z.strictObject({ ...head, kind: z.literal('Mailbox'), spec: mailboxSpec }),
  MailAlias: z.strictObject({ ...head, kind: z.literal('MailAlias'), spec: mailAliasSpec }),
  MailRoute: z.strictObject({ ...head, kind: z.literal('MailRoute'), spec: mailRouteSpec }),
  MailCredential: z.strictObject({ ...head, kind: z.literal('MailCredential'), spec: mailCredentialSpec }),
  MailPolicy: z.strictObject({ ...head, kind: z.literal('MailPolicy'), spec: mailPolicySpec }),
  MailServer: z.strictObject({ ...head, kind: z.literal('MailServer'), spec: mailServerSpec }),
  Secret: z.strictObject({ apiVersion: z.literal('v1'), kind: z.literal('Secret'), metadata, ...secretBody }),
} as const;

/** Reads all files; what is there twice, in whichever files, is a fault. */
export function parseManifests(files: readonly ManifestFile[]): Manifests {
  const faults: ManifestFault[] = [];
  const notices: ManifestFault[] = [];
  const sorter = new Sorter();
  const seen = new Map<string, Place>();
  for (const source of files.flatMap((file) => documents(file, faults))) {
    const value = parseResource(source, faults);
    if (!value) continue;
    const resource = describe(source, value.kind, value.metadata);
    const id = `${resource.kind} ${resource.namespace}/${resource.name}`;
    const first = seen.get(id);
    if (first) {
      const where = `${first.file}:${first.line}`;
      faults.push(faultAt(source.at(['metadata', 'name']), `${id} is there twice, first in ${where}`));
      continue;
    }
    seen.set(id, source.at(['metadata', 'name']));
    sorter.add(resource, value);
    notices.push(...withoutEffect(source, id, value));
  }
  return { resources: sorter.resources, faults: inOrder(faults, files), notices };
}

/** Resources by their kind. */
class Sorter {
  readonly resources = {
    domains: new Array<MailDomainResource>(),
    mailboxes: new Array<MailboxResource>(),
    aliases: new Array<MailAliasResource>(),
    routes: new Array<MailRouteResource>(),
    credentials: new Array<MailCredentialResource>(),
    policies: new Array<MailPolicyResource>(),
    servers: new Array<MailServerResource>(),
    secrets: new Array<SecretResource>(),
  };

  add(about: Omit<Resource, 'kind' | 'spec'>, value: Value): void {
    const { domains, mailboxes, aliases, routes, credentials, policies, servers, secrets } = this.resources;
    switch (value.kind) {
      case 'MailDomain':
        domains.push({ ...about, kind: value.kind, spec: value.spec });
        return;
      case 'Mailbox':
        mailboxes.push({ ...about, kind: value.kind, spec: value.spec });
        return;
      case 'MailAlias':
        aliases.push({ ...about, kind: value.kind, spec: value.spec });
        return;
      case 'MailRoute':
        routes.push({ ...about, kind: value.kind, spec: value.spec });
        return;
      case 'MailCredential':
        credentials.push({ ...about, kind: value.kind, spec: value.spec });
        return;
      case 'MailPolicy':
        policies.push({ ...about, kind: value.kind, spec: value.spec });
        return;
      case 'MailServer':
        servers.push({ ...about, kind: value.kind, spec: value.spec });
        return;
      case 'Secret':
        secrets.push({ ...about, kind: value.kind, spec: secretValues(value) });
        return;
      default:
        unreachable(value);
    }
  }
}

/** As they stand in the files: syntax is found before anything else. */
function inOrder(faults: readonly ManifestFault[], files: readonly ManifestFile[]): readonly ManifestFault[] {
  const places = new Map(files.map(({ name }, i) => [name, i]));
  const place = ({ file }: ManifestFault): number => places.get(file) ?? 0;
  return faults.toSorted((a, b) => place(a) - place(b) || a.line - b.line || a.column - b.column);
}

type Source = { readonly document: Document.Parsed; readonly at: (path: Path) => Place };
type Value = { [Kind in keyof typeof schemas]: z.output<(typeof schemas)[Kind]> }[keyof typeof schemas];

function documents(file: ManifestFile, faults: ManifestFault[]): readonly Source[] {
  const lines = new LineCounter();
  const found: Source[] = [];
  for (const document of parseAllDocuments(file.text, { lineCounter: lines })) {
    const placeOf = (offset: number): Place => {
      const { line, col } = lines.linePos(offset);
      return { file: file.name, line: Math.max(1, line), column: Math.max(1, col) };
    };
    for (const error of document.errors) faults.push(faultAt(placeOf(error.pos[0]), firstLine(error)));
    // An empty document, such as comments between two "---", is nothing.
    if (document.errors.length === 0 && !isEmpty(document)) {
      found.push({ document, at: (path) => placeOf(offsetOf(document, path)) });
    }
  }
  return found;
}

function isEmpty({ contents }: Document.Parsed): boolean {
  return contents === null || (isScalar(contents) && contents.value === null);
}

/** The library adds the source text below. */
function firstLine(error: YAMLError): string {
  return `not YAML: ${error.message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? ''}`;
}

/** Of the key that the path leads to, or of what is nearest above it. */
function offsetOf(document: Document.Parsed, path: Path): number {
  for (let length = path.length; length > 0; length--) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const key = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === key);
      const start = (pair?.key as Node | undefined)?.range?.[0];
      if (start !== undefined) return start;
    }
    const start = (document.getIn(path.slice(0, length), true) as Node | undefined)?.range?.[0];
    if (start !== undefined) return start;
  }
  return document.contents?.range[0] ?? 0;
}

function parseResource(source: Source, faults: ManifestFault[]): Value | null {
  const value = toPlainValue(source, faults);
  if (value === undefined) return null;
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
  if (typeof kind !== 'string' || !Object.hasOwn(schemas, kind)) {
    faults.push(faultAt(source.at(['kind']), unknownKind(kind)));
    return null;
  }
  const result = schemas[kind as keyof typeof schemas].safeParse(value);
  if (result.success) return result.data;
  for (const issue of result.error.issues) faults.push(...describeIssue(source, kind, issue));
  return null;
}

/** Without anchors: their expansion has no bound worth trusting, and no manifest needs them. */
function toPlainValue(source: Source, faults: ManifestFault[]): unknown {
  let hasAlias = false;
  visit(source.document, {
    Alias: () => {
      hasAlias = true;
      return visit.BREAK;
    },
  });
  if (!hasAlias) return source.document.toJS();
  faults.push(faultAt(source.at([]), 'YAML aliases (*name) are not read; write the value out'));
  return undefined;
}

function unknownKind(kind: unknown): string {
  if (kind === undefined) return 'kind is missing';
  return `kind ${JSON.stringify(kind)} is not known; known are ${Object.keys(schemas).join(', ')}`;
}

function describeIssue(source: Source, kind: string, issue: z.core.$ZodIssue): readonly ManifestFault[] {
  const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) =>
      faultAt(source.at([...path, key]), `${kind}: ${formatPath([...path, key])} is not a field of this kind`),
    );
  }
  const isMissing = source.document.getIn(path) === undefined;
  const message = isMissing && issue.code !== 'custom' ? 'is missing' : lowerFirst(issue.message);
  return [faultAt(source.at(path), `${kind}: ${formatPath(path)} ${message}`)];
}

function lowerFirst(text: string): string {
  return text.startsWith('Invalid') ? `is not valid: ${text.replace(/^Invalid \w+: /, '')}` : text;
}

function formatPath(path: Path): string {
  return path.map((step, i) => (typeof step === 'number' ? `[${step}]` : i === 0 ? step : `.${step}`)).join('');
}

function describe<Kind extends string>(
  source: Source,
  kind: Kind,
  { namespace, name, annotations }: z.output<typeof metadata>,
): Omit<Resource<Kind>, 'spec'> {
  const uid = resourceUid(kind, namespace, name);
  return { kind, namespace, name, uid, annotations, createdAt: null, isDeleting: false, at: source.at };
}

function withoutEffect(source: Source, id: string, value: Value): readonly ManifestFault[] {
  if (value.kind === 'MailServer') {
    const message = `${id} has no effect: without a cluster the environment configures a server (see: postrider config)`;
    return [faultAt(source.at(['kind']), message)];
  }
  if (value.kind !== 'MailDomain') return [];
  return mailDomainWithoutEffect
    .filter((key) => value.spec[key] !== undefined)
    .map((key) => faultAt(source.at(['spec', key]), `${id}: spec.${key} has no effect yet`));
}
