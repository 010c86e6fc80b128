/**
 * A stand-in for the world's DNS, as a pod: resolver and authority for one zone. It publishes what the MailDomain's
 * status asks for, as external-dns would, and knows no other name.
 */
import dgram from 'node:dgram';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';

const packet = createRequire('/app/package.json')('dns-packet');
const { ZONE: zone, DOMAIN_RESOURCE: resource, POD_IP: address } = process.env;
const account = '/var/run/secrets/kubernetes.io/serviceaccount';
const namespace = readFileSync(`${account}/namespace`, 'utf8');
let records = [];

function readDomain() {
  const url = `https://kubernetes.default.svc/apis/postrider.dev/v1alpha1/namespaces/${namespace}/maildomains/${resource}`;
  const headers = { authorization: `Bearer ${readFileSync(`${account}/token`, 'utf8')}` };
  https
    .get(url, { ca: readFileSync(`${account}/ca.crt`), headers }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => {
        const now = JSON.parse(text).status?.dnsRecords ?? [];
        if (JSON.stringify(now.map(({ name }) => name)) !== JSON.stringify(records.map(({ name }) => name))) {
          console.log('publishing', now.map(({ name, type }) => `${name} ${type}`).join(', '));
        }
        records = now;
      });
    })
    .on('error', (error) => console.log(error.message));
}

function dataOf(type, value) {
  if (type === 'TXT') return { type, data: value.match(/[\s\S]{1,255}/g) };
  const fields = value.split(' ');
  if (type === 'MX') return { type, data: { preference: Number(fields[0]), exchange: fields[1] } };
  if (type === 'SRV') {
    const [priority, weight, port] = fields.slice(0, 3).map(Number);
    return { type, data: { priority, weight, port, target: fields[3] } };
  }
  return { type, data: value };
}

function answersOf({ name, type }) {
  const asked = name.toLowerCase();
  if (asked === zone && type === 'NS') return [{ name, type, ttl: 1, data: `ns.${zone}` }];
  if (asked === `ns.${zone}` && type === 'A') return [{ name, type, ttl: 1, data: address }];
  return records
    .filter((record) => record.name === `${asked}.` && record.type === type)
    .flatMap((record) => record.values.map((value) => ({ name, ttl: 1, ...dataOf(type, value) })));
}

const soa = {
  name: zone,
  type: 'SOA',
  ttl: 1,
  data: { mname: `ns.${zone}`, rname: `admin.${zone}`, serial: 1, refresh: 60, retry: 60, expire: 60, minimum: 1 },
};
const server = dgram.createSocket('udp4');
server.on('message', (message, peer) => {
  const query = packet.decode(message);
  const [question] = query.questions;
  const answers = answersOf(question);
  const isOurs = question.name.toLowerCase() === zone || question.name.toLowerCase().endsWith(`.${zone}`);
  const isKnown =
    answers.length > 0 ||
    question.name.toLowerCase() === zone ||
    records.some(({ name }) => name === `${question.name.toLowerCase()}.`);
  const flags = packet.AUTHORITATIVE_ANSWER | packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | (isKnown ? 0 : 3);
  const authorities = answers.length > 0 ? [] : [isOurs ? soa : { ...soa, name: '.' }];
  server.send(
    packet.encode({ type: 'response', id: query.id, flags, questions: query.questions, answers, authorities }),
    peer.port,
    peer.address,
  );
});
server.bind(53);
setInterval(readDomain, 1_000);
readDomain();
