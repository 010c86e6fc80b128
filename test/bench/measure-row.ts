/** One row: prepared, warmed up, measured in rounds on each server, and once with our database further away. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Bench } from './bench.ts';
import { probe } from './noise.ts';
import type { Probe, RowResult, Sample } from './results.ts';
import type { Row } from './rows/row.ts';
import type { MailServer, ServerName } from './servers/mail-server.ts';
import { Postrider } from './servers/postrider.ts';
import { figure } from './table.ts';

/** Each way: Postgres in another zone of the same site. */
const farMs = 1;

/** A round that took longer is the only one, two that did are all. */
const mostMsOfOne = 30_000;
const mostMsOfTwo = 15_000;

export type Measuring = {
  readonly bench: Bench;
  readonly rounds: number;
  /** So many rounds, however long they take. */
  readonly isExact: boolean;
  /** Whether to measure with the database further away too. */
  readonly withFar: boolean;
  readonly probes: Probe[];
  readonly missing: ReadonlyMap<ServerName, string>;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
};

export async function measureRow(row: Row, measuring: Measuring): Promise<RowResult> {
  const startedAt = performance.now();
  const work = new RowWork(row, measuring);
  await work.measureAll();
  const limits = await work.limits();
  const { name, title, unit, better, aim } = row;
  const tookSeconds = (performance.now() - startedAt) / 1000;
  const samples = Object.fromEntries(work.samples);
  const failed = [...work.failed];
  const ours = (work.samples.get('postrider') ?? []).filter((sample) => sample !== null);
  const remarks = [...work.remarks, ...(row.remark && ours.length > 0 ? [row.remark(ours)] : [])];
  return { name, title, unit, better, aim, samples, limits, remarks, failed, tookSeconds };
}

/** Whatever fails becomes a remark, and the rest goes on. */
class RowWork {
  readonly samples = new Map<ServerName, (Sample | null)[]>();
  readonly remarks: string[];
  readonly failed = new Set<string>();
  readonly #row: Row;
  readonly #o: Measuring;

  constructor(row: Row, measuring: Measuring) {
    this.#row = row;
    this.#o = measuring;
    const { missing } = measuring;
    this.remarks = row.servers.flatMap((name) => (missing.has(name) ? [`${name}: ${missing.get(name)}`] : []));
  }

  async measureAll(): Promise<void> {
    const { bench, probes } = this.#o;
    const servers = this.#row.servers.flatMap((name) => bench.servers.get(name) ?? []);
    const able: MailServer[] = [];
    for (const server of servers) {
      if (!(await this.#prepared(server))) continue;
      able.push(server);
      this.samples.set(server.name, []);
    }
    const startedAt = performance.now();
    for (let round = 0; able.length > 0 && this.#isWorthARound(round, performance.now() - startedAt); round++) {
      probes.push(probe(bench.folder));
      // Who comes first changes, so that what one leaves to the disk does not always hit the same one.
      const order = [...able.slice(round % able.length), ...able.slice(0, round % able.length)];
      for (const server of order) this.samples.get(server.name)?.push(await this.#attempt(server));
      probes.push(probe(bench.folder));
    }
    const near = able.find((server) => server instanceof Postrider);
    if (this.#o.withFar && this.#row.isNearOnly !== true && near) await this.#measureFar(near);
    await this.#row.finish?.(bench).catch((error: unknown) => this.#note('afterwards', error));
  }

  /** Long rows have fewer rounds: all of them together must be done while the machine is in one mood. */
  #isWorthARound(done: number, tookMs: number): boolean {
    const { rounds, isExact } = this.#o;
    if (done >= Math.min(rounds, this.#row.rounds ?? Infinity)) return false;
    return isExact || done === 0 || (done === 1 ? tookMs < mostMsOfOne : tookMs < mostMsOfTwo);
  }

  async limits(): Promise<Readonly<Record<string, number>>> {
    this.#o.signal.throwIfAborted();
    try {
      return (await this.#row.limits?.(this.#o.bench)) ?? {};
    } catch (error) {
      this.#note('alone', error);
      return {};
    }
  }

  /** Started for the row: while others are measured it would hear of every change and take their time. */
  async #measureFar(near: Postrider): Promise<void> {
    const { bench } = this.#o;
    const folder = path.join(bench.folder, 'far');
    bench.isBrief = true;
    try {
      await mkdir(folder, { recursive: true });
      await using far = await near.startFar(folder, farMs);
      if (await this.#prepared(far)) this.samples.set(far.name, [await this.#attempt(far)]);
    } catch (error) {
      this.#note('postrider-1ms', error);
    } finally {
      bench.isBrief = false;
    }
  }

  /** Brings the server to where the row begins, and warms it up. False: it can't. */
  async #prepared(server: MailServer): Promise<boolean> {
    const { bench } = this.#o;
    try {
      const mode = this.#row.clearLogin === true ? 'development' : 'production';
      if (server instanceof Postrider) await server.useMode(mode);
      await this.#row.prepare?.(bench, server);
    } catch (error) {
      this.#note(server.name, error);
      return false;
    }
    if (this.#row.needsNoWarmUp) return true;
    const wasBrief = bench.isBrief;
    bench.isBrief = true;
    await this.#attempt(server);
    bench.isBrief = wasBrief;
    return true;
  }

  /** Null, and a remark, when the server could not do it. */
  async #attempt(server: MailServer): Promise<Sample | null> {
    this.#o.signal.throwIfAborted();
    try {
      const sample = await this.#row.measure(this.#o.bench, server);
      this.#say(`${server.name.padEnd(16)}${figure(sample.value)} ${this.#row.unit}`);
      return sample;
    } catch (error) {
      this.#note(server.name, error);
      return null;
    }
  }

  #note(who: string, error: unknown): void {
    this.#o.signal.throwIfAborted();
    const remark = `${who}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`;
    this.#say(remark);
    this.failed.add(who);
    if (!this.remarks.includes(remark)) this.remarks.push(remark);
  }

  #say(text: string): void {
    this.#o.say(`${this.#row.name.padEnd(30)}${text}`);
  }
}
