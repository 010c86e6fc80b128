import type { Generated, JSONColumnType } from 'kysely';

type AcmeChallengeTable = {
  readonly token: string;
  readonly key_authorization: string;
  readonly owner: string;
  readonly expires_at: Date;
};

/** As in the condition that tells of it. `isLimit`: the authority set a time, which another wish does not shorten. */
export type AcmeOrderProblem = { readonly reason: string; readonly message: string; readonly isLimit: boolean };

type AcmeOrderTable = {
  readonly owner: string;
  readonly wish: string;
  readonly order_url: string | null;
  readonly private_key: Buffer | null;
  readonly seal_key_id: string | null;
  readonly failed_attempts: Generated<number>;
  readonly next_attempt_at: Date | null;
  readonly problem: JSONColumnType<AcmeOrderProblem> | null;
  readonly issued_wish: string | null;
  readonly renewal_at: Date | null;
  readonly renewal_look_at: Date | null;
  readonly updated_at: Generated<Date>;
};

/** The tables of 0021-acme.sql. */
export type AcmeTables = {
  readonly acme_challenge: AcmeChallengeTable;
  readonly acme_order: AcmeOrderTable;
};
