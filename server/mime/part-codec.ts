import type { Part } from './part.ts';

/** A part as an array: lengths instead of offsets, a number in place of what is most common. */
type Packed = [
  headerStart: number,
  headerBytes: number,
  bodyBytes: number,
  type: string | 0,
  encoding: string | 0,
  charset: string | 0,
  ...children: Packed[],
];

/** The tree of parts as compact text, for the store. */
export function encodeParts(root: Part): string {
  return JSON.stringify(pack(root));
}

/** Inverse of `encodeParts`. */
export function decodeParts(text: string): Part {
  return unpack(JSON.parse(text) as Packed);
}

function pack(part: Part): Packed {
  const type = `${part.type}/${part.subtype}`;
  return [
    part.headerStart,
    part.bodyStart - part.headerStart,
    part.end - part.bodyStart,
    type === 'text/plain' ? 0 : type,
    part.encoding === '7bit' ? 0 : part.encoding,
    part.charset ?? 0,
    ...part.children.map(pack),
  ];
}

function unpack(packed: Packed): Part {
  const [headerStart, headerBytes, bodyBytes, type, encoding, charset, ...children] = packed;
  const slash = type === 0 ? 0 : type.indexOf('/');
  return {
    headerStart,
    bodyStart: headerStart + headerBytes,
    end: headerStart + headerBytes + bodyBytes,
    type: type === 0 ? 'text' : type.slice(0, slash),
    subtype: type === 0 ? 'plain' : type.slice(slash + 1),
    charset: charset === 0 ? null : charset,
    encoding: encoding === 0 ? '7bit' : encoding,
    children: children.map(unpack),
  };
}
