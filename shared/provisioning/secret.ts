import { z } from 'zod';

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
