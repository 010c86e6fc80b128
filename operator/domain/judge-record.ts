/** Whether what the DNS has will do for a record that is wanted. Pure; it asks what a receiver would ask, not whether the texts are alike. */
import type { DnsAnswer, MxRecord, SrvRecord } from '#shared/dns/answer.ts';
import type { WantedRecord } from './wanted-records.ts';

export type RecordState = 'Published' | 'Missing' | 'Mismatch' | 'Unknown';

export type RecordVerdict = {
  readonly state: RecordState;
  /** What there is instead; at most a few. */
  readonly found: readonly string[];
  /** For people; empty where there is nothing to say. */
  readonly detail: string;
};

const published: RecordVerdict = { state: 'Published', found: [], detail: '' };
const missing: RecordVerdict = { state: 'Missing', found: [], detail: '' };
const maxFound = 4;
const maxFoundLength = 512;

export type AnyAnswer = DnsAnswer<MxRecord | SrvRecord | string | readonly string[]>;

/** Of several servers of the zone the one that lacks most counts: a receiver may ask any of them. */
export function judgeAnswers(wanted: WantedRecord, answers: readonly AnyAnswer[]): RecordVerdict {
  const verdicts = answers.map((answer) => judgeAnswer(wanted, answer));
  const worst = (['Missing', 'Mismatch', 'Published'] as const)
    .map((state) => verdicts.find((verdict) => verdict.state === state))
    .find((verdict) => verdict !== undefined);
  if (worst === undefined) return { state: 'Unknown', found: [], detail: 'could not be looked up' };
  const isMixed = worst.state !== 'Published' && verdicts.some(({ state }) => state === 'Published');
  return isMixed ? { ...worst, detail: 'not all servers of the zone have it yet' } : worst;
}

function judgeAnswer(wanted: WantedRecord, answer: AnyAnswer): RecordVerdict {
  switch (answer.kind) {
    case 'failure':
      return { state: 'Unknown', found: [], detail: '' };
    case 'no-name':
    case 'no-data':
      return missing;
    default:
      return judgeRecords(wanted, answer.records);
  }
}

function judgeRecords(wanted: WantedRecord, records: readonly unknown[]): RecordVerdict {
  switch (wanted.type) {
    case 'MX':
      return judgeNames(wanted, (records as readonly MxRecord[]).map(formatMx));
    case 'SRV':
      return judgeNames(wanted, (records as readonly SrvRecord[]).map(formatSrv));
    case 'PTR':
      return judgeNames(
        wanted,
        (records as readonly string[]).map((name) => `${name}.`),
      );
    case 'TXT':
      return judgeTexts(
        wanted,
        (records as readonly (readonly string[])[]).map((strings) => strings.join('')),
      );
    case 'CNAME':
      // Judged by the addresses it leads to: see dns-look.ts.
      return published;
    default:
      return wanted.type satisfies never;
  }
}

const formatMx = ({ preference, exchange }: MxRecord): string => `${preference} ${exchange}.`;
const formatSrv = ({ priority, weight, port, target }: SrvRecord): string => `${priority} ${weight} ${port} ${target}.`;

/** Preference, priority and weight are the administrator's choice; what counts is that the host is named. */
function judgeNames({ type, values }: WantedRecord, found: readonly string[]): RecordVerdict {
  const essence = (value: string): string =>
    value
      .split(' ')
      .slice(type === 'SRV' ? -2 : -1)
      .join(' ');
  const isThere = values.every((value) => found.some((each) => essence(each) === essence(value)));
  if (!isThere) return mismatch(found);
  const others = found.filter((each) => !values.some((value) => essence(value) === essence(each)));
  if (type !== 'MX' || others.length === 0) return published;
  return { ...published, detail: `other hosts take its mail too: ${others.join(', ').slice(0, maxFoundLength)}` };
}

function judgeTexts(wanted: WantedRecord, texts: readonly string[]): RecordVerdict {
  const [value = ''] = wanted.values;
  switch (wanted.purpose) {
    case 'spf':
      // What it permits is looked at elsewhere: see spf.ts.
      return oneOf(texts, /^v=spf1(?: |$)/i, () => true);
    case 'dmarc':
      return oneOf(texts, /^v=DMARC1\s*(?:;|$)/, (text) => strictness(text) >= strictness(value));
    case 'mta-sts':
      return oneOf(texts, /^v=STSv1\s*;/, (text) => tag(text, 'id') !== null);
    case 'tls-rpt':
      return oneOf(texts, /^v=TLSRPTv1\s*;/, (text) => tag(text, 'rua') !== null);
    case 'dkim':
      return judgeKey(value, texts);
    default:
      return texts.includes(value) ? published : texts.length === 0 ? missing : mismatch(texts);
  }
}

/** Receivers take two of such a record for none. Other texts at the same name don't matter. */
function oneOf(texts: readonly string[], kind: RegExp, isGood: (text: string) => boolean): RecordVerdict {
  const [first, ...more] = texts.filter((text) => kind.test(text));
  if (first === undefined) return missing;
  if (more.length > 0) return mismatch([first, ...more], 'there is more than one; receivers take that for none');
  return isGood(first) ? published : mismatch([first]);
}

/** RFC 6376 section 3.6.1: what follows k= is ours too, in whatever order and with whatever spaces. */
function judgeKey(value: string, texts: readonly string[]): RecordVerdict {
  const wanted = tag(value, 'p');
  const keys = texts.filter((text) => tag(text, 'p') !== null);
  if (keys.length === 0) return missing;
  if (keys.length > 1) return mismatch(keys, 'there is more than one; receivers take that for none');
  const [text = ''] = keys;
  const isSame = tag(text, 'p') === wanted && (tag(text, 'k') ?? 'rsa') === (tag(value, 'k') ?? 'rsa');
  return isSame ? published : mismatch(keys);
}

/** Of a list of tags (RFC 6376 section 3.2), without white space; null: not there. */
function tag(text: string, name: string): string | null {
  for (const part of text.split(';')) {
    const at = part.indexOf('=');
    if (at >= 0 && part.slice(0, at).trim().toLowerCase() === name) return part.slice(at + 1).replace(/\s/g, '');
  }
  return null;
}

const policies = ['none', 'quarantine', 'reject'];

/** -1: no policy that a receiver would follow. */
function strictness(text: string): number {
  return policies.indexOf((tag(text, 'p') ?? '').toLowerCase());
}

function mismatch(found: readonly string[], detail = ''): RecordVerdict {
  return { state: 'Mismatch', found: found.slice(0, maxFound).map((text) => text.slice(0, maxFoundLength)), detail };
}
