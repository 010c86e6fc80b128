/**
 * A stand-in for an adapter of Prometheus, as a pod: serves the custom and the external metrics API from what our pods
 * print at /metrics just then. Knows `pods/*`, and one sum over all pods for an external metric.
 */
import { readFileSync } from 'node:fs';
import { createServer, get } from 'node:https';
import http from 'node:http';

const account = '/var/run/secrets/kubernetes.io/serviceaccount';
const namespace = readFileSync(`${account}/namespace`, 'utf8');
const selector = process.env.POD_SELECTOR;

function read(client, url, options = {}) {
  return new Promise((resolve, reject) => {
    const request = client(url, options, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk)).on('end', () => resolve(text));
    });
    request.setTimeout(3_000, () => request.destroy(new Error('no answer')));
    request.on('error', reject);
  });
}

async function pods(labels) {
  const url = `https://kubernetes.default.svc/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(labels)}`;
  const headers = { authorization: `Bearer ${readFileSync(`${account}/token`, 'utf8')}` };
  const { items } = JSON.parse(await read(get, url, { ca: readFileSync(`${account}/ca.crt`), headers }));
  return items
    .filter(({ status }) => status.podIP)
    .map(({ metadata, status }) => ({ name: metadata.name, address: status.podIP }));
}

/** The sum of all series of that name that have these labels. */
async function value({ address }, metric, labels) {
  const text = await read(http.get, `http://${address}:8080/metrics`).catch(() => '');
  const series = text.split('\n').filter((line) => line.startsWith(`${metric}{`) || line.startsWith(`${metric} `));
  const fitting = series.filter((line) =>
    Object.entries(labels).every(([name, is]) => line.includes(`${name}="${is}"`)),
  );
  return fitting.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const discovery = (group, resource, isNamespaced) => ({
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: group,
  resources: [{ name: resource, singularName: '', namespaced: isNamespaced, kind: 'MetricValueList', verbs: ['get'] }],
});

async function answer(url) {
  const { pathname, searchParams } = new URL(url, 'https://here');
  const parts = pathname.split('/').filter((part) => part !== '');
  const [, group, version, , , ...rest] = parts;
  const apiVersion = `${group}/${version}`;
  const timestamp = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  if (parts.length <= 3) {
    return discovery(
      apiVersion,
      group === 'custom.metrics.k8s.io' ? 'pods/postrider_connections_open' : 'postrider_queue_depth',
      true,
    );
  }
  if (group === 'custom.metrics.k8s.io') {
    const metric = rest[2];
    const items = [];
    for (const pod of await pods(searchParams.get('labelSelector') ?? selector)) {
      items.push({
        describedObject: { kind: 'Pod', namespace, name: pod.name, apiVersion: 'v1' },
        metric: { name: metric, selector: null },
        timestamp,
        value: String(await value(pod, metric, {})),
      });
    }
    return { kind: 'MetricValueList', apiVersion, metadata: {}, items };
  }
  const metric = rest[0];
  const wanted = Object.fromEntries(
    (searchParams.get('labelSelector') ?? '')
      .split(',')
      .filter(Boolean)
      .map((pair) => pair.split('=')),
  );
  const values = await Promise.all((await pods(selector)).map((pod) => value(pod, metric, wanted)));
  // Each pod counts the whole queue.
  const items = [{ metricName: metric, metricLabels: wanted, timestamp, value: String(Math.max(0, ...values)) }];
  return { kind: 'ExternalMetricValueList', apiVersion, metadata: {}, items };
}

createServer({ key: readFileSync('/tls/tls.key'), cert: readFileSync('/tls/tls.crt') }, (request, response) => {
  void answer(request.url)
    .then((body) => {
      console.log(request.url, JSON.stringify(body.items?.map((item) => item.value) ?? 'discovery'));
      response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    })
    .catch((error) => {
      console.log(request.url, error.message);
      response.writeHead(500).end(error.message);
    });
}).listen(8443);
