import { conditionResponse } from '../grammar/response.ts';
import type { ResponseCode } from '../grammar/response-code.ts';

/** What a command came to: its tagged response without the tag (RFC 3501 section 7.1). */
export type Outcome = {
  readonly status: 'OK' | 'NO' | 'BAD';
  readonly code: ResponseCode | null;
  readonly text: string;
};

export function ok(text: string, code: ResponseCode | null = null): Outcome {
  return { status: 'OK', code, text };
}

export function no(text: string, code: ResponseCode | null = null): Outcome {
  return { status: 'NO', code, text };
}

export function bad(text: string): Outcome {
  return { status: 'BAD', code: null, text };
}

export function taggedResponse(tag: string, { status, code, text }: Outcome): string {
  return code === null ? conditionResponse(tag, status, text) : conditionResponse(tag, status, text, code);
}
