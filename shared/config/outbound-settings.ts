/** Settings of what our users send and of the queue. */
import { setting } from './setting.ts';
import { durationType, integerType, limitType, networksType, switchType, textType, wordsType } from './value-type.ts';

export const outboundSettings = {
  outboundConnections: setting({
    names: ['OUTBOUND_CONNECTIONS'],
    group: 'Outbound',
    type: integerType(1, 2000),
    standard: '100',
    help: 'Connections to other systems that this process has open at a time. How many one destination gets, over all processes, is the route’s matter.',
  }),
  queueExpirySeconds: setting({
    names: ['QUEUE_EXPIRY'],
    group: 'Outbound',
    type: durationType(60, 30 * 24 * 3600),
    standard: '120h',
    help: 'How long a message is tried until its sender is told that it failed (RFC 5321 section 4.5.4.1 asks for four to five days at least).',
  }),
  leaseSeconds: setting({
    names: ['QUEUE_LEASE'],
    group: 'Outbound',
    type: durationType(1, 25),
    standard: '20s',
    help: 'How long what a process has in hand stays its own after it was last heard of. The same for all processes of a database.',
  }),
  dnsServers: setting({
    names: ['DNS_SERVERS'],
    group: 'Outbound',
    type: wordsType,
    standard: '',
    standardHelp: 'those of /etc/resolv.conf',
    help: 'The resolvers that are asked for mail hosts, as `192.0.2.1` or `[2001:db8::1]:5353`, with commas between them. They are believed in what they say of DNSSEC, so the way to them must be safe.',
  }),
  dnssecProbeName: setting({
    names: ['DNSSEC_PROBE_NAME'],
    group: 'Outbound',
    type: textType,
    standard: 'dnssec-failed.org',
    help: 'A name with wrong signatures. A resolver that answers it does not validate DNSSEC, and DANE is off. `none` leaves out this part of the check, for a network that has no such name.',
  }),
  privateNetworks: setting({
    names: ['OUTBOUND_PRIVATE_NETWORKS'],
    group: 'Outbound',
    type: networksType,
    standard: '10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,192.0.0.0/24,198.18.0.0/15,fc00::/7,fec0::/10',
    help: 'Networks that are ours: other people’s MX records and address literals lead no mail there, unless a MailRoute lists them. Name those of Pods and Services here if they are others. Loopback, link-local and metadata addresses are always refused.',
  }),
  ownAddresses: setting({
    names: ['OUTBOUND_OWN_ADDRESSES'],
    group: 'Outbound',
    type: wordsType,
    standard: '',
    standardHelp: 'those of this machine',
    help: 'Further addresses under which this installation receives mail, such as a load balancer’s: mail for a domain whose MX leads there, and which is not here, is returned instead of sent round in circles.',
  }),
  sendingPerHour: setting({
    names: ['SENDING_PER_HOUR'],
    group: 'Outbound',
    type: limitType,
    standard: '300',
    presets: { local: 'off', developmentMode: 'off' },
    help: 'Recipients at other systems that an account may write to: so many at once, and from then on evenly over an hour. A Mailbox may have a limit of its own (`limits.messagesPerHour`); mail that stays here is not counted.',
  }),
  sendingPerDay: setting({
    names: ['SENDING_PER_DAY'],
    group: 'Outbound',
    type: limitType,
    standard: '1000',
    presets: { local: 'off', developmentMode: 'off' },
    help: 'The same for a day (`limits.messagesPerDay`).',
  }),
  newRecipientsPerDay: setting({
    names: ['NEW_RECIPIENTS_PER_DAY'],
    group: 'Outbound',
    type: limitType,
    standard: 'off',
    help: 'Recipients at other systems that an account has never written to before, a day (`limits.newRecipientsPerDay`). Whom it writes to is remembered only where this limit is set.',
  }),
  bounceAddresses: setting({
    names: ['BOUNCE_ADDRESSES'],
    group: 'Outbound',
    type: switchType,
    standard: 'true',
    help: 'What our users send has a return path of its own (`bounce+…` at the domain of its sender), so that a bounce is known to be of that message and not made up. `false`: the return path is the sender, and later bounces suppress nothing; write it where mail to a domain of ours is received by another system, which would not know these addresses.',
  }),
} as const;
