/** What the event recorder promises, on any API server. */
import { expect, test } from 'vitest';
import { coreEvents } from '#operator/kube/core-resources.ts';
import { EventRecorder, type EventRecorderOptions } from '#operator/kube/event-recorder.ts';
import { refOf, type ObjectRef } from '#operator/kube/resource.ts';
import { TestBed, things, type ServerUnderTest } from './server-under-test.ts';

const warning = { type: 'Warning', reason: 'DKIMMissing' } as const;

export function eventContract(server: () => ServerUnderTest): void {
  const recorder = ({ client, options }: TestBed, more: Partial<EventRecorderOptions> = {}) =>
    new EventRecorder({ ...options, client, component: 'postrider-test', instance: 'pod-1', ...more });

  async function eventsOf(bed: TestBed, about: ObjectRef) {
    const fieldSelector = `involvedObject.uid=${about.uid}`;
    return (await bed.direct.list(coreEvents, { namespace: bed.namespace, fieldSelector })).items;
  }

  async function subject(bed: TestBed): Promise<ObjectRef> {
    return refOf(await bed.direct.create(things, bed.thing('subject')));
  }

  test('the same event is one object with a count, whichever process tells it', async () => {
    await using bed = await TestBed.open(server());
    const about = await subject(bed);
    {
      await using events = recorder(bed);
      for (let times = 0; times < 3; times += 1) events.record(about, { ...warning, message: 'no TXT record' });
    }
    {
      await using events = recorder(bed, { instance: 'pod-2' });
      events.record(about, { ...warning, message: 'no TXT record' });
      events.record(about, { type: 'Normal', reason: 'DKIMReady', message: 'seen' });
    }
    const events = await eventsOf(bed, about);
    const told = events.map(({ type, reason, message, count }) => ({ type, reason, message, count }));
    expect(told.toSorted((one, other) => other.count - one.count)).toEqual([
      { ...warning, message: 'no TXT record', count: 4 },
      { type: 'Normal', reason: 'DKIMReady', message: 'seen', count: 1 },
    ]);
    expect(events.every(({ source }) => source.component === 'postrider-test')).toBe(true);
  });

  test('an object that fails in a loop gets 25 events, then one in five minutes', async () => {
    let nowMs = 0;
    const clock = { now: () => new Date(), monotonicMs: () => nowMs };
    await using bed = await TestBed.open(server());
    const about = await subject(bed);
    const other = { ...about, uid: `${about.uid}-other` };
    {
      await using events = recorder(bed, { clock });
      for (let times = 0; times < 100; times += 1) events.record(about, { ...warning, message: 'again' });
      nowMs = 301_000;
      for (let times = 0; times < 100; times += 1) events.record(about, { ...warning, message: 'again' });
      events.record(other, { ...warning, message: 'quite another' });
    }
    expect(await eventsOf(bed, about)).toMatchObject([{ count: 26 }]);
    expect(await eventsOf(bed, other)).toMatchObject([{ count: 1 }]);
    expect(await bed.metric('events', { outcome: 'suppressed' })).toBe(174);
  });

  test('many messages of one reason become one event', async () => {
    await using bed = await TestBed.open(server());
    const about = await subject(bed);
    {
      await using events = recorder(bed);
      for (let times = 0; times < 20; times += 1) events.record(about, { ...warning, message: `attempt ${times}` });
    }
    const events = await eventsOf(bed, about);
    expect(events.length).toBe(11);
    const combined = events.find(({ message }) => message.startsWith('(combined'));
    expect(combined).toMatchObject({ message: '(combined from similar events) attempt 19', count: 10 });
  });

  test('a server that takes no events harms nobody, and the end does not wait for it', async () => {
    await using bed = await TestBed.open(server());
    const about = await subject(bed);
    bed.proxy.rule(() => ({ kind: 'hang' }));
    const events = recorder(bed);
    for (let times = 0; times < 5; times += 1) events.record(about, { ...warning, message: `${times}` });
    await events[Symbol.asyncDispose]();
    expect(await bed.metric('events', { outcome: 'failed' })).toBe(5);
    expect(await eventsOf(bed, about)).toEqual([]);
  });

  test('a long message is cut between two characters', async () => {
    await using bed = await TestBed.open(server());
    const about = await subject(bed);
    {
      await using events = recorder(bed);
      events.record(about, { ...warning, message: 'é'.repeat(2_000) });
    }
    const [event] = await eventsOf(bed, about);
    expect(event?.message).toBe(`${'é'.repeat(510)}…`);
  });
}
