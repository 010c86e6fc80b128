/**
 * What the words of other servers mean: data, read from the first row to the last, and the first that fits decides.
 * A row fits where all that it says fits. Texts are matched without case.
 *
 *   as-is   as the code says: 4yz later, 5yz never
 *   later   again later, whatever the code says
 *   never   not again, whatever the code says
 *   slower  again later, over fewer connections
 *   block   nothing goes there for a while: it refuses us, not the message
 */
export type ReplyRule = {
  /** The end of the peer's host name, or of the next hop's domain. */
  readonly host?: readonly string[];
  readonly code?: RegExp;
  readonly status?: RegExp;
  readonly text?: RegExp;
  readonly action: 'as-is' | 'later' | 'never' | 'slower' | 'block';
  readonly category: ReplyCategory;
};

export type ReplyCategory =
  | 'no-such-user'
  | 'mailbox-disabled'
  | 'mailbox-full'
  | 'greylisted'
  | 'rate'
  | 'connections'
  | 'reputation'
  | 'spam'
  | 'policy'
  | 'authentication'
  | 'size'
  | 'content'
  | 'tls'
  | 'relaying'
  | 'routing'
  | 'server'
  | 'dns'
  | 'other';

const google = ['google.com', 'googlemail.com', 'gmail.com'];
const microsoft = ['outlook.com', 'hotmail.com', 'protection.outlook.com', 'live.com'];
const yahoo = ['yahoodns.net', 'yahoo.com', 'aol.com'];
const apple = ['icloud.com', 'apple.com'];
const germanProviders = ['gmx.net', 'gmx.de', 'web.de', 'kundenserver.de', '1and1.com', 'ionos.com'];

export const replyRules: readonly ReplyRule[] = [
  // Google: "4.7.28" and "5.7.28" are about the sender's rate; "4.2.1" of a mailbox that gets too much at a time.
  { host: google, status: /^4\.7\.28$/, action: 'slower', category: 'rate' },
  {
    host: google,
    status: /^4\.7\.(0|1|23|24|25|26|27|29|30|32)$/,
    text: /rate limit/,
    action: 'slower',
    category: 'rate',
  },
  { host: google, status: /^[45]\.7\.(25|26|27|29|30|32|40)$/, action: 'as-is', category: 'authentication' },
  { host: google, status: /^4\.2\.1$/, action: 'later', category: 'rate' },
  { host: google, status: /^5\.2\.1$/, text: /disabled|inactive/, action: 'never', category: 'mailbox-disabled' },
  { host: google, status: /^5\.7\.1$/, text: /blocked|unsolicited|spam/, action: 'never', category: 'spam' },
  { host: google, status: /^4\.7\.0$/, text: /suspicious|reputation/, action: 'slower', category: 'reputation' },

  // Microsoft: S3140, S3150 and "AS(…)" name an address of ours that it blocks; "5.7.606" to "649" are block lists.
  { host: microsoft, status: /^5\.7\.(515|509)$/, action: 'never', category: 'authentication' },
  {
    host: microsoft,
    text: /\bs31(40|50)\b|block list|\bas\(\d+\)/,
    code: /^5/,
    action: 'block',
    category: 'reputation',
  },
  { host: microsoft, status: /^5\.7\.(5\d\d|6\d\d|7\d\d)$/, action: 'block', category: 'reputation' },
  { host: microsoft, status: /^4\.7\.(500|650|850)$/, action: 'slower', category: 'rate' },
  {
    host: microsoft,
    text: /\brp-00[123]\b|\(rp\d+\)|server busy|throttl/,
    code: /^4/,
    action: 'slower',
    category: 'rate',
  },
  { host: microsoft, status: /^5\.(1\.10|4\.1|1\.1)$/, action: 'never', category: 'no-such-user' },
  { host: microsoft, status: /^5\.2\.(1|121|122)$/, action: 'later', category: 'rate' },

  // Yahoo and AOL: [TSS..] put off, [TS..] refuse for a time, "554 … [BL..]" block.
  { host: yahoo, text: /\[tss?\d\d\]/, code: /^4/, action: 'slower', category: 'reputation' },
  { host: yahoo, text: /\[bl\d\d\]/, action: 'block', category: 'reputation' },
  {
    host: yahoo,
    text: /user doesn't have|this user doesn't|not a valid mailbox|mailbox not found/,
    code: /^5/,
    action: 'never',
    category: 'no-such-user',
  },

  // Apple: [CS01] and the like are about content, [HM07] about the sender's reputation.
  { host: apple, text: /\[cs01\]|\[hc\d\d\]/, action: 'never', category: 'spam' },
  { host: apple, text: /\[hm0\d\]|\[rs0\d\]/, action: 'slower', category: 'reputation' },

  // GMX, WEB.DE, IONOS.
  {
    host: germanProviders,
    text: /nemesis|bad dns ptr|no mx record|reject due to policy/,
    action: 'block',
    category: 'reputation',
  },
  {
    host: germanProviders,
    text: /requested action not taken: mailbox unavailable.*(rate|limit)/,
    action: 'slower',
    category: 'rate',
  },

  // Everybody: greylisting says 4yz, with words that differ.
  {
    code: /^4/,
    text: /gr[ea]ylist|postgrey|try again in \d+ (second|minute)|temporarily (deferred|rejected).*(first|unknown)/,
    action: 'later',
    category: 'greylisted',
  },
  {
    code: /^421$/,
    text: /too many (concurrent )?(connections|sessions)|concurrent connection|connection limit/,
    action: 'slower',
    category: 'connections',
  },
  {
    code: /^4/,
    text: /too many (messages|mails|recipients)|rate.?limit|sending (too|limit)|throttl|slow down|too fast/,
    action: 'slower',
    category: 'rate',
  },

  // Block lists: it is us who are refused.
  {
    code: /^[45]/,
    text: /spamhaus|barracudacentral|spamcop|sorbs|uceprotect|invaluement|abusix|dnsbl|\brbl\b|block(ed)? ?list|blacklist/,
    action: 'block',
    category: 'reputation',
  },
  {
    code: /^[45]/,
    text: /poor reputation|bad reputation|reputation of (your|the)|(your )?ip (address )?(is |has been )?(blocked|banned|denied)/,
    action: 'block',
    category: 'reputation',
  },
  {
    code: /^5/,
    text: /reverse dns|\bptr\b|rdns|helo.*(invalid|reject|resolve)/,
    action: 'block',
    category: 'reputation',
  },

  // Some say 5yz to a full mailbox; people make room.
  { status: /^[45]\.2\.2$/, action: 'later', category: 'mailbox-full' },
  {
    code: /^5/,
    text: /(mailbox|mail box|quota|storage).{0,30}(full|exceed|over)|over ?quota|insufficient (disk|storage)/,
    action: 'later',
    category: 'mailbox-full',
  },
  {
    code: /^4/,
    text: /(mailbox|mail box|quota|storage).{0,30}(full|exceed|over)|over ?quota/,
    action: 'as-is',
    category: 'mailbox-full',
  },

  // Permanent, whatever the code says.
  { code: /^5/, status: /^5\.1\.(1|6|10)$/, action: 'never', category: 'no-such-user' },
  {
    code: /^55[0134]$/,
    text: /(user|mailbox|recipient|account|address).{0,20}(unknown|not found|does(n't| not) exist|not exist|invalid|unavailable|no longer)|(no such|unknown|invalid) (user|mailbox|recipient|account|address)|no mailbox here|unrouteable address/,
    action: 'never',
    category: 'no-such-user',
  },
  { code: /^5/, status: /^5\.2\.1$/, action: 'never', category: 'mailbox-disabled' },
  {
    code: /^5/,
    text: /(account|mailbox|user).{0,20}(disabled|suspended|inactive|deactivated|locked)/,
    action: 'never',
    category: 'mailbox-disabled',
  },

  { status: /^[45]\.7\.(10|11|4|5|6)$/, text: /tls|encrypt/, action: 'as-is', category: 'tls' },
  { text: /must issue a starttls|tls required|requires? (tls|encryption)/, action: 'as-is', category: 'tls' },
  { status: /^5\.7\.(20|21|22|23|24|25|26|27|8|9)$/, action: 'as-is', category: 'authentication' },
  { text: /\b(spf|dkim|dmarc)\b/, action: 'as-is', category: 'authentication' },
  { code: /^5/, text: /spam|unsolicited|bulk mail|phish|virus|malware/, action: 'as-is', category: 'spam' },
  { status: /^[45]\.3\.4$/, action: 'as-is', category: 'size' },
  { code: /^552$/, text: /size|too (large|big)/, action: 'as-is', category: 'size' },
  {
    code: /^5/,
    text: /relay(ing)? (not|denied|access)|not permitted to relay|relay access denied/,
    action: 'as-is',
    category: 'relaying',
  },
  { status: /^[45]\.6\./, action: 'as-is', category: 'content' },
  { status: /^[45]\.4\./, action: 'as-is', category: 'routing' },
  { status: /^[45]\.7\./, action: 'as-is', category: 'policy' },
  { status: /^[45]\.3\./, action: 'as-is', category: 'server' },
  { code: /^421$/, action: 'as-is', category: 'server' },
];
