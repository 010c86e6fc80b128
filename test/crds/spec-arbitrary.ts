/** Specs made from a CRD's schema: mostly what it allows, with something wrong in it now and then. */
import fc from 'fast-check';
import type { Schema } from '../../tools/crds.ts';

/** What texts of our resources look like, and what is near to it. ASCII: see agreement.test.ts. */
const texts = {
  domain: [
    'example.org',
    'a.b',
    '*.example.org',
    'xn--bcher-kva.example',
    'localhost',
    'Example.org',
    'a.12',
    '-a.org',
    '*',
  ],
  address: [
    'a@example.org',
    'b.c@example.org',
    '*@example.org',
    '"a b"@example.org',
    'A@example.org',
    'a@localhost',
    '"ab"@b.org',
  ],
  quantity: ['10Gi', '500M', '4096', '0', '10GiB', '99999999999Pi', '1.5Gi'],
  duration: ['168h', '1h30m', '45s', '0s', '1d', '30m1h', '2h'],
  name: ['default', 'a.b-c', 'x', 'A', 'a_b', '..'],
  network: ['10.0.0.0/8', 'fd00::/8', '10.0.0.0/33', '10.0.0.0'],
  ip: ['192.0.2.1', '2001:db8::1', '192.0.2.256', '::ffff:192.0.2.1', '1::2::3'],
  url: [
    'https://a.example/x?y',
    'http://a.example:25',
    'ftp://a.example',
    'https://a b',
    'HTTPS://a.example',
    'https://a.example:99999/',
  ],
  other: ['', '+', '/run/x.sock', 'relay.example', 'true', 'ca.crt'],
};
const anyText = fc.oneof(
  fc.constantFrom(...Object.values(texts).flat()),
  fc.string({ unit: 'grapheme-ascii', maxLength: 20 }),
);

/** Which of them a field is likely to want. */
function likelyTexts(schema: Schema, name: string): readonly string[] {
  const { 'x-kubernetes-validations': rules = [] } = schema;
  const wish = rules.map(({ message }) => message).join();
  if (name === 'allowedNetworks') return texts.network;
  if (wish.includes('domain name')) return texts.domain;
  if (wish.includes('address')) return texts.address;
  if (wish.includes('quantity')) return texts.quantity;
  if (wish.includes('duration')) return texts.duration;
  if (name === 'url') return texts.url;
  if (name === 'host') return [...texts.ip, ...texts.other, 'a.example'];
  if (/address/i.test(name)) return texts.ip;
  return [...texts.name, ...texts.other];
}

/** Of another type than it should be. */
const misfit = fc.oneof(
  anyText,
  fc.integer(),
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constant([]),
  fc.constant({}),
);

/** `unlikely`: one in so many values is of another type, or one too many. */
export function arbitraryOf(schema: Schema, unlikely: number, name = ''): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: unlikely, arbitrary: fitting(schema, unlikely, name) }, { weight: 1, arbitrary: misfit });
}

function fitting(schema: Schema, unlikely: number, name: string): fc.Arbitrary<unknown> {
  switch (schema.type) {
    case 'boolean':
      return fc.boolean();
    case 'integer': {
      const { minimum = -5, maximum = 1_000_000 } = schema;
      return fc
        .constantFrom(minimum, minimum + 1, maximum, 25, 100, minimum - 1, maximum + 1)
        .map((n) => Math.trunc(n));
    }
    case 'string':
      if (schema.enum)
        return fc.oneof(
          { weight: unlikely, arbitrary: fc.constantFrom(...schema.enum) },
          { weight: 1, arbitrary: anyText },
        );
      return fc.oneof(
        { weight: 10, arbitrary: fc.constantFrom(...likelyTexts(schema, name)) },
        { weight: 1, arbitrary: anyText },
      );
    case 'array': {
      const { items, minItems = 0 } = schema;
      if (!items) throw new Error(`${name} has no items`);
      return fc.array(arbitraryOf(items, unlikely, name), { minLength: minItems, maxLength: minItems + 2 });
    }
    case 'object':
      return schema.additionalProperties
        ? fc.dictionary(fc.constantFrom('a', 'mail'), arbitraryOf(schema.additionalProperties, unlikely), {
            maxKeys: 2,
          })
        : objectOf(schema, unlikely);
    default:
      throw new Error(`a type that is not known: ${String(schema.type)}`);
  }
}

/** Few of the optional fields at a time: with all of them hardly anything would be accepted. */
function objectOf({ properties = {}, required = [] }: Schema, unlikely: number): fc.Arbitrary<unknown> {
  const fields = Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [name, arbitraryOf(schema, unlikely, name)]),
  );
  const optional = Object.keys(properties).filter((name) => !required.includes(name));
  const chosen = fc
    .constantFrom(0, 1, 2, 3)
    .chain((most) => fc.subarray(optional, { maxLength: Math.min(most, optional.length) }));
  const strange = fc.oneof(
    { weight: unlikely, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: fc.constant({ colour: 'red' }) },
  );
  return fc.tuple(chosen, strange).chain(([names, more]) => {
    const present = Object.fromEntries(
      [...required, ...names].flatMap((name) => (fields[name] ? [[name, fields[name]]] : [])),
    );
    return fc.record(present).map((value) => Object.assign(value, more));
  });
}
