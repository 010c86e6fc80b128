/**
 * Follows the DNS of each MailDomain: whose it is (the challenge), whether it has the records that the domain needs, and
 * when a DKIM key may sign. What was seen is kept in rows and in the status, so that a restart asks nobody anew.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import { noteSeenKeys, reconcileDomainKeys } from '#shared/directory/dkim-keys.ts';
import { challengeName, challengeToken, noteContest, proveClaim } from '#shared/directory/domain-claims.ts';
import { assertEpoch } from '#shared/reconcile/leader-epoch.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import type { ReconcileResult } from '#operator/kube/controller.ts';
import { nameOf } from '#operator/kube/resource.ts';
import type { ConditionReport } from '#operator/status/condition.ts';
import { findCondition } from '#operator/status/condition.ts';
import { dkimCondition, dkimStatuses, instant, seenKeys, type DkimStatus } from './dkim-condition.ts';
import { dnsCondition, recordStatuses, type RecordStatus } from './dns-condition.ts';
import { lookAtDomain, type DnsLookOptions, type DomainLook, type RecordLook } from './dns-look.ts';
import { claimState, domainNames } from './domain-needs.ts';
import { gatherDomain, type DomainState } from './domain-state.ts';
import { dueInMs, nextLook, readSchedule, type LookSchedule } from './look-schedule.ts';
import { endpointsOf, type DnsPublisher, type Published } from './dns-endpoints.ts';
import type { WantedRecord } from './wanted-records.ts';

export type DomainDnsOptions = {
  readonly foundation: OperatorFoundation;
  readonly look: DnsLookOptions;
  readonly publisher: DnsPublisher;
};

/** What the status says of the DNS since the last look. */
type DnsFacts = {
  readonly condition: ConditionReport;
  readonly records: readonly RecordStatus[];
  readonly schedule: LookSchedule | null;
  readonly servers: readonly string[];
};

/** How often keys are looked after though nothing happens: their times are hours and more, but in tests. */
const keysEveryMs = 10 * 60_000;
const startingMs = 300;
/** A kind that the cluster gets, or a right that the operator gets, is noticed after so long. */
const refusedEveryMs = 15_000;
const defaultVerifySeconds = 3600;

export class DomainDns {
  readonly #options: DomainDnsOptions;
  /** By UID. */
  readonly #facts = new Map<string, DnsFacts>();
  readonly #keys = new Map<string, readonly DkimStatus[]>();

  constructor(options: DomainDnsOptions) {
    this.#options = options;
  }

  /** Required records by state, of all domains. */
  countRecords(): ReadonlyMap<string, number> {
    const states = [...this.#facts.values()].flatMap(({ records }) => records.filter(({ required }) => required));
    return count(['Published', 'Missing', 'Mismatch', 'Unknown'], states);
  }

  /** DKIM keys by state, of all domains. */
  countKeys(): ReadonlyMap<string, number> {
    return count(['Pending', 'Active', 'Retiring'], [...this.#keys.values()].flat());
  }

  forget(uid: string): void {
    this.#facts.delete(uid);
    this.#keys.delete(uid);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { foundation } = this.#options;
    const { namespace = '', name } = nameOf(key);
    const gather = (): Promise<DomainState | null> =>
      gatherDomain(foundation.resources, foundation.database.db, { namespace, name });
    let state = await gather();
    if (state === null) return;
    if (await this.#tendKeys(state)) state = (await gather()) ?? state;
    const known = this.#facts.get(state.object.metadata.uid) ?? factsOf(state);
    const { clock } = foundation;
    let facts = known;
    const every = everySeconds(state);
    const waitMs = ({ schedule }: DnsFacts): number => {
      return schedule ? dueInMs(schedule, clock.now(), every) : keysEveryMs;
    };
    if (!facts?.schedule || !isFor(facts.records, state.wanted) || waitMs(facts) === 0) {
      // Keys are told of at once: name servers that don't answer hold up a look for many seconds.
      this.#report(state, facts ?? notLooked(state));
      const look = await this.#look(state, signal);
      if (look && (await this.#note(state, look))) state = (await gather()) ?? state;
      facts = this.#judge(state, look, known);
    }
    this.#facts.set(state.object.metadata.uid, facts);
    const { publisher } = this.#options;
    const published = await publisher.publish({
      owner: state.object,
      isWanted: state.row !== null && state.spec.dns?.publish === 'DNSEndpoint',
      endpoints: endpointsOf(state.wanted, (at) => isProved(state, at)),
    });
    if (published.kind === 'starting') return { afterMs: startingMs };
    this.#report(state, { ...facts, condition: withPublication(facts.condition, published) });
    const longestMs = published.kind === 'refused' ? refusedEveryMs : keysMs(state);
    return { afterMs: Math.max(1_000, Math.min(waitMs(facts), longestMs)) };
  }

  readonly #fence = (tx: Kysely<Database>): Promise<void> => assertEpoch(tx, this.#options.foundation.epoch);

  /** Whether anything was done. */
  async #tendKeys({ row, spec }: DomainState): Promise<boolean> {
    if (row === null) return false;
    const { database, keyring, logger } = this.#options.foundation;
    const publication = verifies(spec) ? 'seen' : 'assumed';
    const change = await reconcileDomainKeys({
      db: database.db,
      keyring,
      domainId: row.id,
      publication,
      fence: this.#fence,
    });
    if (change === null) return false;
    const actions = change.actions.map((action) => action.do);
    logger.info({ event: 'dkim.keys', domain: change.domain, actions }, 'DKIM keys changed');
    return true;
  }

  /** Null: nothing is to be looked at. */
  async #look({ spec, wanted, needs }: DomainState, signal: AbortSignal): Promise<DomainLook | null> {
    const asked = verifies(spec) ? wanted : wanted.filter(({ purpose }) => purpose === 'challenge');
    if (asked.length === 0) return null;
    return lookAtDomain({ wanted: asked, addresses: needs.addresses, signal }, this.#options.look);
  }

  /** Keeps what was seen; whether that changes what is wanted. */
  async #note(state: DomainState, look: DomainLook): Promise<boolean> {
    const { row, spec } = state;
    let isClaimNew = false;
    for (const each of look.records) {
      if (each.record.purpose === 'challenge' && (await this.#noteChallenge(state, each))) isClaimNew = true;
    }
    if (row === null || !verifies(spec)) return isClaimNew;
    const seen = seenKeys(spec.domain, spec.aliasDomains, row.keys, look.records);
    const isNew = row.keys.some(({ selector, seenSince }) => {
      const is = seen.get(selector);
      return is !== undefined && is !== (seenSince !== null);
    });
    if (isNew) {
      await transact(this.#options.foundation.database.db, async (tx) => {
        await this.#fence(tx);
        await noteSeenKeys(tx, row.id, seen);
      });
      await this.#tendKeys(state);
    }
    return isNew || isClaimNew;
  }

  /** Whether claims have changed. What can't be looked up says nothing. */
  async #noteChallenge(
    { namespace, claimants, needs }: DomainState,
    { record, verdict, texts }: RecordLook,
  ): Promise<boolean> {
    const { database, logger, config, resources } = this.#options.foundation;
    const domain = [...needs.challenges.keys()].find((name) => challengeName(name) === record.name);
    if (domain === undefined || verdict.state === 'Unknown') return false;
    const before = claimants.get(domain) ?? [];
    const isProved = verdict.state === 'Published';
    const holders = [...new Set([...before, ...(isProved ? [namespace] : [])])];
    const isNew = isProved && !before.includes(namespace);
    if (!isNew && holders.length < 2) return false;
    // Others may be of another MailServer, whose token is another one.
    const servers = resources.servers.items().map(({ metadata }) => metadata.uid);
    const isThere = (holder: string): boolean =>
      servers.some((uid) => texts.includes(challengeToken(uid, { namespace: holder, domain })));
    const present = holders.filter(isThere);
    const absent = holders.filter((holder) => !isThere(holder));
    const lost = await transact(database.db, async (tx) => {
      await this.#fence(tx);
      if (isNew) await proveClaim(tx, { namespace, domain });
      return noteContest(tx, { domain, present, absent, graceSeconds: config.domainHandoverSeconds });
    });
    if (isNew)
      logger.info({ event: 'domain.proved', domain, namespace, absent }, 'a namespace showed to have a domain');
    for (const holder of lost) {
      logger.warn({ event: 'domain.lost', domain, namespace: holder }, 'a namespace has a domain no more');
    }
    return isNew || lost.length > 0;
  }

  #judge(state: DomainState, look: DomainLook | null, before: DnsFacts | null): DnsFacts {
    const { spec, wanted } = state;
    const { clock } = this.#options.foundation;
    const records = recordStatuses(wanted, look);
    if (look === null) {
      const message = 'nobody looks: spec.dns.verify is false';
      const condition = { type: 'DNSReady', status: 'Unknown', reason: 'NotVerified', message } as const;
      return { condition, records, schedule: null, servers: [] };
    }
    const condition: ConditionReport = verifies(spec)
      ? dnsCondition(look)
      : { type: 'DNSReady', status: 'Unknown', reason: 'NotVerified', message: 'only the challenge is looked for' };
    const isWaiting = state.row?.keys.some((key) => key.state === 'pending') === true && verifies(spec);
    const isProved = state.needs.challenges.size === 0;
    const schedule = nextLook(clock.now(), before?.schedule ?? null, {
      isSettled: isProved && !isWaiting && (condition.status === 'True' || condition.reason === 'NotVerified'),
      isSame: before !== null && isDeepStrictEqual(before.records, records),
      everySeconds: everySeconds(state),
      random: this.#options.look.random(),
    });
    return { condition, records, schedule, servers: look.servers.slice(0, 32) };
  }

  #report(state: DomainState, { condition, records, schedule, servers }: DnsFacts): void {
    const { board, keyring } = this.#options.foundation;
    const { object, spec, row } = state;
    const dkim = row === null ? undefined : dkimStatuses(spec.domain, row.keys);
    this.#keys.set(object.metadata.uid, dkim ?? []);
    board.report(object, 'dns', {
      generation: object.metadata.generation ?? 0,
      conditions: [condition, ...(row === null ? [] : [dkimCondition(spec.domain, row, keyring.ids)])],
      fields: {
        challenge: challengeStatus(state, records),
        dkim,
        dnsRecords: records,
        dnsCheck: schedule
          ? { lastTime: instant(schedule.lastTime), nextTime: instant(schedule.nextTime), servers }
          : undefined,
      },
    });
  }
}

/** The name is the domain's, an alias domain's, or below one that is proved. */
function isProved({ spec, needsInput }: DomainState, at: string): boolean {
  const names = domainNames(spec).filter((name) => at === name || at.endsWith(`.${name}`));
  const longest = names.toSorted((a, b) => b.length - a.length)[0];
  return longest !== undefined && claimState(longest, needsInput) !== 'Open';
}

function withPublication(condition: ConditionReport, published: Published): ConditionReport {
  if (published.kind === 'refused') return published.condition;
  const isWaiting = published.kind === 'published' && !published.isObserved && condition.status === 'False';
  if (!isWaiting) return condition;
  const message = `external-dns has not taken up the DNSEndpoint yet; ${condition.message}`;
  return { ...condition, reason: 'DNSEndpointNotObserved', message };
}

function count(states: readonly string[], all: readonly { readonly state: string }[]): ReadonlyMap<string, number> {
  return new Map(states.map((state) => [state, all.filter((each) => each.state === state).length]));
}

/** Often enough to see the shortest of its times pass. */
function keysMs({ spec }: DomainState): number {
  const { interval, overlap } = spec.dkim.rotation;
  return Math.min(keysEveryMs, (Math.min(interval ?? overlap, overlap) * 1000) / 4);
}

function everySeconds({ spec }: DomainState): number {
  return spec.dns?.verifyInterval ?? defaultVerifySeconds;
}

function verifies({ dns }: DomainState['spec']): boolean {
  return dns?.verify !== false;
}

function challengeStatus({ namespace, spec, serverUid, needsInput }: DomainState, records: readonly RecordStatus[]) {
  const { domain } = spec;
  const name = `${challengeName(domain)}.`;
  const claim = claimState(domain, needsInput);
  const looked = records.find((record) => record.name === name)?.state;
  const open = looked === undefined || looked === 'Unknown' ? 'Unknown' : 'Missing';
  // A record that another namespace's makes needed again.
  const isMissing = claim === 'Open' || (claim === 'Proved' && (looked === 'Missing' || looked === 'Mismatch'));
  return { name, value: challengeToken(serverUid, { namespace, domain }), state: isMissing ? open : claim };
}

function notLooked({ wanted }: DomainState): DnsFacts {
  const message = 'the name servers are being asked';
  const condition = { type: 'DNSReady', status: 'Unknown', reason: 'Looking', message } as const;
  return { condition, records: recordStatuses(wanted, null), schedule: null, servers: [] };
}

/** What was found out before this process began. */
function factsOf({ object }: DomainState): DnsFacts | null {
  const { status } = object;
  const condition = findCondition(status, 'DNSReady');
  const schedule = readSchedule(status?.dnsCheck);
  // What it says of a DNSEndpoint hides what was seen in the DNS.
  if (condition === undefined || condition.reason.startsWith('DNSEndpoint') || schedule === null) return null;
  const { type, status: holds, reason, message } = condition;
  return {
    condition: { type, status: holds, reason, message },
    records: (status?.dnsRecords ?? []) as readonly RecordStatus[],
    schedule,
    servers: status?.dnsCheck?.servers ?? [],
  };
}

/** The records that were looked at are those that are wanted now. */
function isFor(records: readonly RecordStatus[], wanted: readonly WantedRecord[]): boolean {
  const essence = ({ name, type, values, required }: RecordStatus): unknown => ({ name, type, values, required });
  return isDeepStrictEqual(records.map(essence), recordStatuses(wanted, null).map(essence));
}
