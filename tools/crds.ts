/** The resources as crds/ describes them: what types, the reference page and tests are made from. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

/** An OpenAPI schema, as far as our resources use it. */
export type Schema = {
  readonly type: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly format?: string;
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message?: string }[];
};

export type PrinterColumn = {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  readonly priority?: number;
};

export type Crd = {
  readonly file: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly isNamespaced: boolean;
  readonly columns: readonly PrinterColumn[];
  readonly selectableFields: readonly string[];
  readonly schema: Schema;
};

type Document = {
  readonly spec: {
    readonly group: string;
    readonly scope: string;
    readonly names: { readonly kind: string; readonly plural: string; readonly shortNames: readonly string[] };
    readonly versions: readonly [
      {
        readonly name: string;
        readonly schema: { readonly openAPIV3Schema: Schema };
        readonly additionalPrinterColumns: readonly PrinterColumn[];
        readonly selectableFields?: readonly { readonly jsonPath: string }[];
      },
    ];
  };
};

/** In the order in which somebody meets them. */
const order = ['MailServer', 'MailDomain', 'Mailbox', 'MailAlias', 'MailCredential', 'MailRoute', 'MailPolicy'];

export const crdFolder = path.join(import.meta.dirname, '..', 'crds');

export function readCrds(): readonly Crd[] {
  return readdirSync(crdFolder)
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => readCrd(path.join(crdFolder, name)))
    .toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

function readCrd(file: string): Crd {
  const { spec } = parse(readFileSync(file, 'utf8')) as Document;
  const [version] = spec.versions;
  return {
    file: path.basename(file),
    group: spec.group,
    version: version.name,
    kind: spec.names.kind,
    plural: spec.names.plural,
    shortNames: spec.names.shortNames,
    isNamespaced: spec.scope === 'Namespaced',
    columns: version.additionalPrinterColumns,
    selectableFields: (version.selectableFields ?? []).map(({ jsonPath }) => jsonPath),
    schema: version.schema.openAPIV3Schema,
  };
}
