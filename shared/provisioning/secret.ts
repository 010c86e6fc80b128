import { z } from 'zod';

/** On a Secret that the operator made for a resource: whose it is, as `secretOwner` has it. */
export const ownerAnnotation = 'postrider.dev/owner';

/** Kind and name, since a resource that comes back under its name has its Secret again. */
export function secretOwner({ kind, name }: { readonly kind: string; readonly name: string }): string {
  return `${kind}/${name}`;
}

const values = z.record(z.string().regex(/^[-._a-zA-Z0-9]{1,253}$/, 'is not a key of a Secret'), z.string());

/** A Kubernetes Secret (v1); `stringData` wins over `data`, as in a cluster. Its values, decoded. */
export const secretBody = {
  type: z.string().optional(),
  immutable: z.boolean().optional(),
  stringData: values.default({}),
  data: z.record(z.string(), z.base64('is not base64; write plain text under stringData')).default({}),
};

export function secretValues(body: {
  readonly stringData: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, string>>;
}): ReadonlyMap<string, string> {
  const decoded = Object.entries(body.data).map(
    ([key, text]) => [key, Buffer.from(text, 'base64').toString('utf8')] as const,
  );
  return new Map([...decoded, ...Object.entries(body.stringData)]);
}
