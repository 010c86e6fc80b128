/** docs/resources.md: every field of every resource, with the words of crds/. */
import type { Crd, Schema } from './crds.ts';

export function resourcesPage(crds: readonly Crd[]): string {
  const list = crds.map(
    ({ kind, shortNames }) => `- [${kind}](#${kind.toLowerCase()}) (\`${shortNames.join('`, `')}\`)`,
  );
  return `# Resources

The kinds of the API group \`postrider.dev\`, version \`v1alpha1\`. \`kubectl explain mailbox.spec\` tells the same from a
cluster, and \`kubectl get mail -A\` lists all of them. How they work together is in [manifests](manifests.md).

${list.join('\n')}

A field with a default need not be written. Durations are written as \`168h\`, \`1h30m\` or \`45s\`, quantities as \`10Gi\`,
\`500M\` or a number of bytes, in quotes. Times are those of RFC 3339. Every \`status\` also has \`observedGeneration\` and
\`conditions\`, of which \`Ready\` sums the others up.

${crds.map(kindSection).join('\n\n')}
`;
}

function kindSection(crd: Crd): string {
  const { spec, status } = crd.schema.properties ?? {};
  if (!spec || !status) throw new Error(`${crd.file} has no spec or no status`);
  const select = crd.selectableFields.map((field) => `\`${field.replace(/^\./, '')}\``);
  const selecting = select.length > 0 ? ` Select by ${select.join(' and ')} (\`--field-selector\`).` : '';
  const { conditions: _conditions, observedGeneration: _generation, ...own } = status.properties ?? {};
  return `## ${crd.kind}

${crd.schema.description ?? ''}

_Short name \`${crd.shortNames.join('`, `')}\`. Columns: ${crd.columns.map(({ name }) => name).join(', ')}.${selecting}_

### spec

${fields(spec.properties ?? {}, spec.required ?? [], 0)}

${rules(spec)}### status

${fields(own, [], 0)}`;
}

function fields(properties: Readonly<Record<string, Schema>>, required: readonly string[], depth: number): string {
  return Object.entries(properties)
    .map(([name, schema]) => {
      const facts = factsOf(schema, required.includes(name)).join(', ');
      const line = `${'  '.repeat(depth)}- \`${name}\` _(${facts})_: ${schema.description ?? ''}`;
      const below = schema.type === 'array' ? schema.items : schema;
      const inner = below?.properties ? `\n${fields(below.properties, below.required ?? [], depth + 1)}` : '';
      return `${line}${inner}`;
    })
    .join('\n');
}

function factsOf(schema: Schema, isRequired: boolean): readonly string[] {
  const { minimum, maximum, default: standard } = schema;
  const isPlainObject = typeof standard === 'object' && !Array.isArray(standard);
  return [
    typeName(schema),
    ...(isRequired ? ['required'] : []),
    ...(standard === undefined || isPlainObject ? [] : [`default \`${JSON.stringify(standard).replaceAll('"', '')}\``]),
    ...(minimum !== undefined && maximum !== undefined ? [`${minimum} to ${maximum}`] : []),
    ...(minimum !== undefined && maximum === undefined ? [`${minimum} or more`] : []),
  ];
}

const names = { object: 'object', string: 'text', integer: 'number', boolean: 'true or false' } as const;

function typeName(schema: Schema): string {
  if (schema.enum) return schema.enum.map((each) => `\`${each}\``).join(' or ');
  if (schema.format === 'date-time') return 'time';
  if (schema.type === 'object' && schema.additionalProperties) return 'map';
  if (schema.type !== 'array') return names[schema.type];
  const { items, maxItems } = schema;
  if (!items) throw new Error('an array without items');
  return maxItems === undefined ? `list of ${typeName(items)}` : `list of ${typeName(items)}, ${maxItems} at most`;
}

/** What the API server checks beyond types, each once. */
function rules(spec: Schema): string {
  const messages = new Set<string>();
  const collect = (schema: Schema): void => {
    for (const { message } of schema['x-kubernetes-validations'] ?? []) {
      // Those about the form of one text are told by its description.
      if (message !== undefined && !message.startsWith('must be')) messages.add(message);
    }
    for (const inner of Object.values(schema.properties ?? {})) collect(inner);
    if (schema.items) collect(schema.items);
  };
  collect(spec);
  if (messages.size === 0) return '';
  const list = [...messages].map((message) => `- ${message}`).join('\n');
  return `The API server also sees to it that:\n\n${list}\n\n`;
}
