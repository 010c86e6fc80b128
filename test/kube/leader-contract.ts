/** What leader election promises, on any API server: one leads, and when it is gone another does, in time. */
import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { expect, test, vi } from 'vitest';
import { leases } from '#operator/kube/core-resources.ts';
import { LeaderElector, LeadershipLost, type Lead } from '#operator/kube/leader-elector.ts';
import type { ElectorProgramOptions } from './elector-program.ts';
import { TestBed, type ServerUnderTest } from './server-under-test.ts';

const within = { timeout: 25_000, interval: 10 };
/** Shorter than in earnest; a lease is in whole seconds. */
const quick = { leaseMs: 3_000, renewMs: 2_000, retryMs: 300 };

class Candidate implements AsyncDisposable {
  readonly ending = new AbortController();
  readonly elector: LeaderElector;
  readonly ran: Promise<unknown>;
  lead: Lead | null = null;

  constructor(
    bed: Pick<TestBed, 'client' | 'namespace' | 'options'>,
    identity: string,
    times: Partial<typeof quick> = quick,
  ) {
    const { client, namespace, options } = bed;
    const { promise: leads, resolve: finish } = Promise.withResolvers<void>();
    this.elector = new LeaderElector({
      ...options,
      ...times,
      client,
      namespace,
      name: 'leader',
      identity,
      signal: this.ending.signal,
      onLead: async (lead) => {
        this.lead = lead;
        lead.stop.addEventListener('abort', () => finish(), { once: true });
        await leads;
      },
    });
    this.ran = this.elector.run().then(
      () => 'ended',
      (error: unknown) => error,
    );
  }

  get isLeading(): boolean {
    return this.lead !== null && !this.lead.stop.aborted;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ending.abort();
    await this.ran;
  }
}

async function startProgram(options: ElectorProgramOptions) {
  const child = spawn(process.execPath, ['test/kube/elector-program.ts', JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    child,
    lines,
    exited,
    writes: () => lines.filter((line) => line.startsWith('write ')).map((line) => Number(line.slice(6))),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

export function leaderContract(server: () => ServerUnderTest): void {
  test('of two, one leads; it gives the lease back at the end, and the other leads within 3 seconds', async () => {
    await using bed = await TestBed.open(server());
    // The times of earnest.
    await using one = new Candidate(bed, 'one', {});
    await vi.waitFor(() => expect(one.isLeading).toBe(true), within);
    await using two = new Candidate(bed, 'two', {});
    const lease = await bed.direct.get(leases, bed.at('leader'));
    expect(lease.spec).toMatchObject({ holderIdentity: 'one', leaseDurationSeconds: 15, leaseTransitions: 0 });
    // It renews.
    await vi.waitFor(async () => {
      const { metadata } = await bed.direct.get(leases, bed.at('leader'));
      expect(metadata.resourceVersion).not.toBe(lease.metadata.resourceVersion);
    }, within);
    expect(two.isLeading).toBe(false);
    expect(one.elector.isLeader).toBe(true);
    expect(two.elector.isLeader).toBe(false);

    const startedAt = performance.now();
    one.ending.abort();
    expect(await one.ran).toBe('ended');
    expect(one.elector.isLeader).toBe(false);
    await vi.waitFor(() => expect(two.isLeading).toBe(true), within);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    const after = await bed.direct.get(leases, bed.at('leader'));
    expect(after.spec).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 });
  });

  test('at the end the work is finished before the lease is given back', async () => {
    await using bed = await TestBed.open(server());
    const ending = new AbortController();
    const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
    let holder: string | null | undefined = '';
    const elector = new LeaderElector({
      ...bed.options,
      ...quick,
      client: bed.client,
      namespace: bed.namespace,
      name: 'leader',
      identity: 'one',
      signal: ending.signal,
      async onLead({ stop }) {
        await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
        await finished;
        holder = (await bed.direct.get(leases, bed.at('leader'))).spec.holderIdentity;
      },
    });
    const ran = elector.run();
    await vi.waitFor(() => expect(elector.isLeader).toBe(true), within);
    ending.abort();
    finish();
    await ran;
    expect(holder).toBe('one');
    expect((await bed.direct.get(leases, bed.at('leader'))).spec.holderIdentity).toBe('');
  });

  test('a leader that cannot reach the server stops before another leads', async () => {
    await using bed = await TestBed.open(server());
    await using other = await TestBed.open(server());
    await using one = new Candidate(bed, 'one');
    await vi.waitFor(() => expect(one.isLeading).toBe(true), within);
    await using two = new Candidate({ client: other.client, namespace: bed.namespace, options: other.options }, 'two');
    bed.proxy.rule(() => ({ kind: 'hang' }));
    await vi.waitFor(() => {
      // Never both.
      expect(one.isLeading && two.isLeading).toBe(false);
      expect(two.isLeading).toBe(true);
    }, within);
    expect(one.lead?.lost.aborted).toBe(true);
    expect(await one.ran).toBeInstanceOf(LeadershipLost);
    bed.proxy.rule(null);
  });

  test('a lease that somebody else takes is noticed at the next renewal', async () => {
    await using bed = await TestBed.open(server());
    await using one = new Candidate(bed, 'one');
    await vi.waitFor(() => expect(one.isLeading).toBe(true), within);
    await bed.direct.patchMerge(leases, bed.at('leader'), { spec: { holderIdentity: 'thief' } });
    expect(await one.ran).toBeInstanceOf(LeadershipLost);
    expect((await bed.direct.get(leases, bed.at('leader'))).spec.holderIdentity).toBe('thief');
  });

  test('a label on the lease, or a short absence of the server, loses nothing', async () => {
    await using bed = await TestBed.open(server());
    await using one = new Candidate(bed, 'one');
    await vi.waitFor(() => expect(one.isLeading).toBe(true), within);
    await bed.direct.patchMerge(leases, bed.at('leader'), { metadata: { labels: { seen: 'yes' } } });
    let failures = 2;
    bed.proxy.rule(() => (failures-- > 0 ? { kind: 'answer', status: 503 } : null));
    const before = await bed.direct.get(leases, bed.at('leader'));
    await vi.waitFor(async () => {
      const { spec } = await bed.direct.get(leases, bed.at('leader'));
      expect(spec.renewTime).not.toBe(before.spec.renewTime);
    }, within);
    expect(one.isLeading).toBe(true);
  });

  test('what the leader throws is handed on, after the lease is given back', async () => {
    await using bed = await TestBed.open(server());
    const { client, namespace, options } = bed;
    const onLead = () => Promise.reject(new Error('the work failed'));
    const { signal } = new AbortController();
    const elector = new LeaderElector({
      ...options,
      client,
      namespace,
      name: 'leader',
      identity: 'one',
      signal,
      onLead,
    });
    await expect(elector.run()).rejects.toThrow('the work failed');
    expect((await bed.direct.get(leases, bed.at('leader'))).spec.holderIdentity).toBe('');
  });

  test('a killed leader is followed within the lease; one that was paused has lost when it wakes', async () => {
    await using bed = await TestBed.open(server());
    const { namespace } = bed;
    const { access } = server();
    await using one = await startProgram({ access, namespace, identity: 'one', ...quick });
    await vi.waitFor(() => expect(one.lines).toContain('leading'), within);
    await using two = await startProgram({ access, namespace, identity: 'two', ...quick });
    await using three = await startProgram({ access, namespace, identity: 'three', ...quick });

    await vi.waitFor(() => expect([...two.lines, ...three.lines]).toEqual(['waiting', 'waiting']), within);

    one.child.kill('SIGKILL');
    const killedAt = performance.now();
    await vi.waitFor(() => expect([...two.lines, ...three.lines]).toContain('leading'), within);
    expect(performance.now() - killedAt).toBeLessThan(quick.leaseMs + 3_000);
    const [next, last] = two.lines.includes('leading') ? [two, three] : [three, two];
    expect(last.lines).toEqual(['waiting']);

    next.child.kill('SIGSTOP');
    await vi.waitFor(() => expect(last.lines).toContain('leading'), within);
    const before = next.lines.length;
    await vi.waitFor(() => expect(last.writes().length).toBeGreaterThan(10), within);
    next.child.kill('SIGCONT');
    await vi.waitFor(() => expect(next.lines).toContain('lost'), within);
    // It was frozen in the middle of anything, a write included, yet decided on no other: its lease was past by its own
    // clock. What a frozen write is worth, the fencing epoch says in the database.
    expect(next.lines.slice(before).filter((line) => !line.startsWith('write '))).toEqual(['lost']);
    expect(Math.max(...next.writes())).toBeLessThan(Math.min(...last.writes()));
    expect(last.lines).not.toContain('lost');
    last.child.kill('SIGTERM');
    await last.exited;
    expect(last.lines.at(-1)).toBe('ended');
  });
}
