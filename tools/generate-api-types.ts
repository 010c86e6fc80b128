/**
 * Writes the types of our resources, operator/api/*.ts, from crds/. With `--check` it writes nothing and fails where a
 * file is not up to date. They are the types of objects that come from the API server: fields with a default are there.
 */
import { mkdirSync } from 'node:fs';
import { format } from 'prettier';
import { readCrds } from './crds.ts';
import type { Crd, Schema } from './crds.ts';
import { writeGenerated } from './write-generated.ts';

const folder = 'operator/api';
const conditionModule = './condition.ts';

const mark = (source: string) => `// Made from ${source} by tools/generate-api-types.ts; change it there.\n`;

function kebab(kind: string): string {
  return kind.replaceAll(/(?<!^)[A-Z]/g, '-$&').toLowerCase();
}

function resourceFile(crd: Crd): string {
  const { kind, schema, group, version, plural, isNamespaced } = crd;
  const { spec, status } = schema.properties ?? {};
  if (!spec || !status) throw new Error(`${crd.file} has no spec or no status`);
  return `${mark(`crds/${crd.file}`)}
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import type { Condition } from '${conditionModule}';

${comment(spec)}export type ${kind}Spec = ${typeOf(spec)};

${comment(status)}export type ${kind}Status = ${typeOf(status)};

${comment(schema)}export type ${kind} = KubeObject & { readonly spec: ${kind}Spec; readonly status?: ${kind}Status };

export const ${descriptorName(crd)}: ResourceType<${kind}> = {
  group: '${group}',
  version: '${version}',
  plural: '${plural}',
  kind: '${kind}',
  isNamespaced: ${isNamespaced},
};
`;
}

/** The plural, written as the kind is: "mailPolicies". */
function descriptorName({ kind, plural }: Crd): string {
  let same = 0;
  while (same < kind.length && kind.charAt(same).toLowerCase() === plural.charAt(same)) same++;
  return `${plural.charAt(0)}${kind.slice(1, same)}${plural.slice(same)}`;
}

function typeOf(schema: Schema): string {
  switch (schema.type) {
    case 'string':
      return schema.enum ? schema.enum.map((each) => `'${each}'`).join(' | ') : 'string';
    case 'integer':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'array':
      if (!schema.items) throw new Error('an array without items');
      return isConditions(schema) ? 'readonly Condition[]' : `readonly (${typeOf(schema.items)})[]`;
    case 'object':
      return schema.additionalProperties
        ? `Readonly<Record<string, ${typeOf(schema.additionalProperties)}>>`
        : objectType(schema);
    default:
      throw new Error(`a type that is not known: ${String(schema.type)}`);
  }
}

function objectType({ properties = {}, required = [] }: Schema): string {
  const lines = Object.entries(properties).map(([name, schema]) => {
    const isThere = required.includes(name) || schema.default !== undefined;
    return `${comment(schema)}readonly ${name}${isThere ? '' : '?'}: ${typeOf(schema)};`;
  });
  return `{\n${lines.join('\n')}\n}`;
}

function isConditions({ items }: Schema): boolean {
  return items?.properties?.['lastTransitionTime'] !== undefined;
}

function comment({ description = '' }: Schema): string {
  const lines = wrap(description, 110);
  return lines.length === 1
    ? `/** ${lines[0] ?? ''} */\n`
    : `/**\n${lines.map((line) => ` * ${line}\n`).join('')} */\n`;
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** The same in every resource; the server's own check is that of metav1.Condition. */
function conditionFile(crds: readonly Crd[]): string {
  const [first, ...others] = crds.map(({ schema }) => schema.properties?.['status']?.properties?.['conditions']?.items);
  if (!first) throw new Error('a resource without conditions');
  const text = JSON.stringify(first);
  if (others.some((other) => JSON.stringify(other) !== text)) throw new Error('conditions differ between resources');
  return `${mark('crds/')}
/** metav1.Condition */
export type Condition = ${objectType(first)};
`;
}

const crds = readCrds();
const files = {
  [`${folder}/condition.ts`]: conditionFile(crds),
  ...Object.fromEntries(crds.map((crd) => [`${folder}/${kebab(crd.kind)}.ts`, resourceFile(crd)])),
};
mkdirSync(folder, { recursive: true });
const formatted: Record<string, string> = {};
for (const [file, text] of Object.entries(files)) {
  formatted[file] = await format(text, {
    parser: 'typescript',
    singleQuote: true,
    printWidth: 120,
    trailingComma: 'all',
  });
}
writeGenerated(formatted, 'node tools/generate-api-types.ts');
