import type { AccountId } from '#shared/base/ids.ts';
import type { MailboxView } from './mailbox-view.ts';

export type SessionAccount = { readonly accountId: AccountId; readonly address: string };

/** Where a session can be (RFC 3501 section 3), with what is true there. */
export type SessionState =
  | { readonly at: 'not-authenticated' }
  | { readonly at: 'authenticated'; readonly account: SessionAccount }
  | { readonly at: 'selected'; readonly account: SessionAccount; readonly view: MailboxView }
  | { readonly at: 'logout' };

export type SessionPlace = SessionState['at'];
export type AuthenticatedState = Extract<SessionState, { account: SessionAccount }>;
export type SelectedState = Extract<SessionState, { at: 'selected' }>;
