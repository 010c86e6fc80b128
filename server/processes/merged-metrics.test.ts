import { expect, test } from 'vitest';
import { createMetrics, type Metrics } from '#shared/observe/metrics.ts';
import { MergedMetrics } from './merged-metrics.ts';
import type { MetricSnapshot } from './messages.ts';

function snapshot(count: (metrics: Metrics) => void): Promise<MetricSnapshot> {
  const metrics = createMetrics();
  count(metrics);
  return metrics.registry.getMetricsAsJSON();
}

const seriesOf = (text: string, name: string): readonly string[] =>
  text.split('\n').filter((line) => line.startsWith(name));

test('counters and histograms are summed label by label, and each series is printed once', async () => {
  const one = await snapshot((metrics) => {
    metrics.messagesStored.inc({ source: 'delivery' }, 3);
    metrics.smtpDataSeconds.observe({ listener: 'mx' }, 0.002);
  });
  const two = await snapshot((metrics) => {
    metrics.messagesStored.inc({ source: 'delivery' }, 4);
    metrics.messagesStored.inc({ source: 'append' });
    metrics.smtpDataSeconds.observe({ listener: 'mx' }, 4);
  });
  const text = await new MergedMetrics().print([one, two]);
  expect(seriesOf(text, 'postrider_messages_stored_total{')).toEqual([
    'postrider_messages_stored_total{source="delivery"} 7',
    'postrider_messages_stored_total{source="append"} 1',
  ]);
  expect(seriesOf(text, 'postrider_smtp_data_seconds_count')).toEqual([
    'postrider_smtp_data_seconds_count{listener="mx"} 2',
  ]);
  expect(text).toContain('postrider_smtp_data_seconds_bucket{le="0.0025",listener="mx"} 1');
  expect(text).toContain('postrider_smtp_data_seconds_bucket{le="+Inf",listener="mx"} 2');
});

test('what is one fact for all is not summed: the database is up when all say so, the first certificate ends', async () => {
  const say = (up: number, ends: number) =>
    snapshot((metrics) => {
      metrics.databaseUp.set(up);
      metrics.certificateExpiry.set(ends);
      metrics.info.set({ version: '1', development: 'false' }, 1);
    });
  const text = await new MergedMetrics().print([await say(1, 500), await say(0, 400)]);
  expect(seriesOf(text, 'postrider_database_up')).toEqual(['postrider_database_up 0']);
  expect(seriesOf(text, 'postrider_certificate_expiry')).toEqual([
    'postrider_certificate_expiry_timestamp_seconds 400',
  ]);
  expect(seriesOf(text, 'postrider_info')).toEqual(['postrider_info{version="1",development="false"} 1']);
});

test('who ended leaves what it counted and takes its gauges along', async () => {
  const ended = await snapshot((metrics) => {
    metrics.messagesStored.inc({ source: 'delivery' }, 3);
    metrics.connectionsOpen.set({ listener: 'imap' }, 9);
  });
  const running = await snapshot((metrics) => {
    metrics.messagesStored.inc({ source: 'delivery' }, 1);
    metrics.connectionsOpen.set({ listener: 'imap' }, 2);
  });
  const merged = new MergedMetrics();
  merged.retire(ended);
  merged.retire(ended);
  const text = await merged.print([running]);
  expect(text).toContain('postrider_messages_stored_total{source="delivery"} 7');
  expect(text).toContain('postrider_connections_open{listener="imap"} 2');
});
