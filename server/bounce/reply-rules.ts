import type { AttemptFacts, NextHop, ReplyRules } from '#server/mail/outbound-ports.ts';
import { replyRules, type ReplyRule } from './reply-rule-table.ts';

/** Reads `rules` from the first row to the last; a reply that none fits is what its code says, of category `other`. */
export function createReplyRules(rules: readonly ReplyRule[] = replyRules): ReplyRules {
  return {
    classify(facts, hop) {
      const rule = rules.find((each) => fits(each, facts, hop));
      return rule === undefined
        ? { action: 'as-is', category: 'other' }
        : { action: rule.action, category: rule.category };
    },
  };
}

function fits({ host, code, status, text }: ReplyRule, { reply, host: peer }: AttemptFacts, hop: NextHop): boolean {
  // Without a reply there are no words of a server.
  if (reply.code === null) return false;
  if (code !== undefined && !code.test(String(reply.code))) return false;
  if (status !== undefined && !status.test(reply.status ?? '')) return false;
  if (text !== undefined && !text.test(reply.text.toLowerCase())) return false;
  return (
    host === undefined || [peer, hop.domain].some((name) => name !== null && host.some((end) => isBelow(name, end)))
  );
}

function isBelow(name: string, end: string): boolean {
  const lower = name.toLowerCase().replace(/\.$/, '');
  return lower === end || lower.endsWith(`.${end}`);
}
