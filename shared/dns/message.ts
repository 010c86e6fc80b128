/** Questions and answers as packets, by `dns-packet`. Pure. */
import {
  AUTHENTIC_DATA,
  decode,
  encode,
  RECURSION_DESIRED,
  type Answer as Record,
  type DecodedPacket,
  type TxtData,
} from 'dns-packet';
import type { DnsAnswer, DnsFailureReason, RecordData, RecordType } from './answer.ts';

/** EDNS0: what gets through without fragments nearly everywhere (DNS flag day 2020). */
const udpPayloadBytes = 1232;

/** CNAMEs that are followed in one answer. */
const maxAliases = 12;

/** RFC 8914 section 4: codes that say that validation failed. */
const bogusCodes: ReadonlySet<number> = new Set([6, 7, 8, 9, 10, 11, 12]);
const extendedErrorOption = 15;

/** A resolver finds out what others know; a zone's own server is asked for what it has itself. */
export type Asked = 'resolver' | 'authority';

/** With AD set, a resolver that validates says so in its answer (RFC 6840 section 5.7). */
export function encodeQuestion(id: number, name: string, type: RecordType, asked: Asked = 'resolver'): Buffer {
  return encode({
    type: 'query',
    id,
    flags: asked === 'resolver' ? RECURSION_DESIRED | AUTHENTIC_DATA : 0,
    questions: [{ type, name, class: 'IN' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: udpPayloadBytes,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  });
}

/** What one server answered, and how many seconds it holds. */
export type Reply<Data> = { readonly answer: DnsAnswer<Data>; readonly ttlSeconds: number };

/** Null: not an answer to this question, or none that can be read. 'truncated': ask again over TCP. */
export function decodeReply<Type extends RecordType>(
  packet: Buffer,
  id: number,
  name: string,
  type: Type,
  asked: Asked = 'resolver',
): Reply<RecordData[Type]> | 'truncated' | null {
  let message: DecodedPacket;
  try {
    message = decode(packet);
  } catch {
    return null;
  }
  const question = message.questions?.[0];
  if (!message.flag_qr || message.id !== id || message.questions?.length !== 1) return null;
  if (question?.type !== type || canonical(question.name) !== canonical(name)) return null;
  if (message.flag_tc) return 'truncated';
  const rcode = (message as DecodedPacket & { readonly rcode: string }).rcode;
  if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN') return failed(failureOf(rcode, message));
  // A server that is not the zone's refers to others, or tells what it heard.
  if (asked === 'authority' && !message.flag_aa) return failed('refused');
  return readAnswers(message, rcode, canonical(name), type);
}

function readAnswers<Type extends RecordType>(
  message: DecodedPacket,
  rcode: 'NOERROR' | 'NXDOMAIN',
  name: string,
  type: Type,
): Reply<RecordData[Type]> {
  const isAuthentic = message.flag_ad;
  const { owner, ttlSeconds: aliasTtl } = followAliases(message.answers ?? [], name);
  const own = (message.answers ?? []).filter((record) => record.type === type && canonical(record.name) === owner);
  if (rcode === 'NXDOMAIN' || own.length === 0) {
    const kind = rcode === 'NXDOMAIN' ? 'no-name' : 'no-data';
    return {
      answer: { kind, canonicalName: owner, isAuthentic },
      ttlSeconds: Math.min(aliasTtl, negativeTtl(message.authorities ?? [])),
    };
  }
  const records = own.map((record) => readRecord(record, type)).filter((data) => data !== null);
  if (records.length === 0) return failed('malformed');
  const ttlSeconds = Math.min(aliasTtl, ...own.map(ttlOf));
  return { answer: { kind: 'records', records, canonicalName: owner, isAuthentic }, ttlSeconds };
}

/** A resolver gives the whole chain (RFC 1034 section 4.3.2), in any order. */
function followAliases(
  records: readonly Record[],
  name: string,
): { readonly owner: string; readonly ttlSeconds: number } {
  let owner = name;
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (let i = 0; i < maxAliases; i++) {
    const alias = records.find((record) => record.type === 'CNAME' && canonical(record.name) === owner);
    if (alias?.type !== 'CNAME') break;
    ttlSeconds = Math.min(ttlSeconds, ttlOf(alias));
    owner = canonical(alias.data);
  }
  return { owner, ttlSeconds };
}

/** RFC 2308 section 5: the smaller of the SOA's own TTL and its MINIMUM; without a SOA it is not to be kept. */
function negativeTtl(authorities: readonly Record[]): number {
  const soa = authorities.find(({ type }) => type === 'SOA');
  return soa?.type === 'SOA' ? Math.min(ttlOf(soa), soa.data.minimum ?? 0) : 0;
}

function ttlOf(record: Record): number {
  return 'ttl' in record ? (record.ttl ?? 0) : 0;
}

/** Null: it can't be read. */
function readRecord<Type extends RecordType>(record: Record, type: Type): RecordData[Type] | null {
  return readData(record, type) as RecordData[Type] | null;
}

function readData(record: Record, type: RecordType): RecordData[RecordType] | null {
  if (record.type !== type) return null;
  switch (record.type) {
    case 'A':
    case 'AAAA':
      return record.data;
    case 'NS':
    case 'PTR':
      return canonical(record.data);
    case 'MX':
      return { preference: record.data.preference ?? 0, exchange: canonical(record.data.exchange) };
    case 'SRV': {
      const { priority = 0, weight = 0, port, target } = record.data;
      return { priority, weight, port, target: canonical(target) };
    }
    case 'TXT':
      return texts(record.data);
    case 'TLSA':
      return record.data;
    default:
      return null;
  }
}

function texts(data: TxtData): readonly string[] {
  const pieces = Array.isArray(data) ? data : [data];
  return pieces.map((piece) => (typeof piece === 'string' ? piece : piece.toString('utf8')));
}

function failureOf(rcode: string, message: DecodedPacket): DnsFailureReason {
  if (rcode === 'REFUSED' || rcode === 'NOTAUTH') return 'refused';
  if (rcode !== 'SERVFAIL') return 'malformed';
  const options = (message.additionals ?? []).flatMap((record) => (record.type === 'OPT' ? record.options : []));
  const codes = options
    .filter(({ code }) => (code as number) === extendedErrorOption)
    .map(({ data }) => (data !== undefined && data.length >= 2 ? data.readUInt16BE(0) : -1));
  return codes.some((code) => bogusCodes.has(code)) ? 'bogus' : 'servfail';
}

function failed(reason: DnsFailureReason): Reply<never> {
  return { answer: { kind: 'failure', reason }, ttlSeconds: 0 };
}

/** Lower case, no final dot; the root is the empty text. */
function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
