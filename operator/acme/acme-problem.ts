/** What an ACME authority refuses (RFC 8555 section 6.7), or that it could not be asked. */
import { z } from 'zod';

/** RFC 9457 with RFC 8555's subproblems. Lengths are ours: the texts end in conditions. */
const text = z
  .string()
  .transform((value) => value.replace(/[\p{Cc}\p{Cf}]+/gu, ' ').slice(0, 500))
  .catch('');
export const problemDocument = z.object({
  type: text.default(''),
  detail: text.default(''),
  instance: text.optional(),
  subproblems: z
    .array(
      z.object({
        type: text.default(''),
        detail: text.default(''),
        identifier: z.object({ value: text.default('') }).optional(),
      }),
    )
    .max(100)
    .catch([])
    .default([]),
});
export type ProblemDocument = z.output<typeof problemDocument>;

/** What was asked for when the authority refused. */
export type AcmeStep = 'directory' | 'account' | 'order' | 'challenge' | 'certificate' | 'renewal';

const urn = 'urn:ietf:params:acme:error:';

export class AcmeProblem extends Error {
  override readonly name = 'AcmeProblem';
  /** RFC 8555 section 6.7 without its prefix, such as `rateLimited`; another URI as it is. */
  readonly type: string;
  readonly step: AcmeStep;
  /** HTTP status; 0: it was told inside of an order or a challenge. */
  readonly status: number;
  /** The authority wants to be left alone for so long; null: it does not say. */
  readonly retryAfterMs: number | null;
  readonly instance: string | null;

  constructor(
    document: ProblemDocument,
    { step, status = 0, retryAfterMs = null }: AcmeFacts & Pick<AcmeProblem, 'step'>,
  ) {
    super(describe(document));
    this.type = short(document.type);
    this.step = step;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
    this.instance = document.instance || null;
  }
}

type AcmeFacts = { readonly status?: number; readonly retryAfterMs?: number | null };

/** No answer, or none that an ACME server gives. */
export class AcmeUnreachable extends Error {
  override readonly name = 'AcmeUnreachable';
}

function describe({ type, detail, subproblems }: ProblemDocument): string {
  const below = subproblems
    .slice(0, 5)
    .map((each) => `${each.identifier?.value ?? 'and'}: ${short(each.type)}: ${each.detail}`);
  return [`${short(type)}: ${detail}`, ...below].join('; ');
}

function short(type: string): string {
  return type.startsWith(urn) ? type.slice(urn.length) : type || 'unnamed problem';
}
