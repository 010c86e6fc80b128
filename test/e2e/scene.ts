/** What the chapters share: who is told, and where mail is. */
import { eventually, type Story } from './story.ts';
import { assertNothingLost, Load } from './load.ts';
import { findEndpoints, loginOf, type Endpoints, type Login } from './mail-client.ts';
import { helm, isRolledOut, release } from './kubectl.ts';

export type Scene = {
  readonly story: Story;
  readonly endpoints: Endpoints;
  /** Of examples/: alice@example.test and bob@example.test. */
  readonly alice: Login;
  readonly bob: Login;
};

/** Small, so that all of it fits on a laptop; NodePorts, which every cluster has. */
const values: readonly string[] = [
  'hostname=mail.example.test',
  'server.replicas=1',
  'imap.replicas=2',
  'submission.replicas=2',
  'server.databasePoolSize=6',
  'server.resources.requests.cpu=20m',
  'server.resources.requests.memory=96Mi',
  'operator.resources.requests.cpu=20m',
  'server.autoscaling.scaleDownSeconds=15',
  'services.smtp.type=NodePort',
  'services.submission.type=NodePort',
  'services.imap.type=NodePort',
  'config.SENDING_PER_HOUR=off',
  'config.SENDING_PER_DAY=off',
];

export const chart = 'charts/postrider';

/** Arguments of helm for this run's values, and some over them. */
export function valuesArguments(...more: readonly string[]): readonly string[] {
  return [...values, ...more].flatMap((one) => ['--set', one]);
}

export async function setScene(story: Story): Promise<Scene> {
  const endpoints = await findEndpoints();
  const alice = await eventually("alice's password", 60, () => loginOf('alice'));
  const bob = await eventually("bob's password", 60, () => loginOf('bob'));
  return { story, endpoints, alice, bob };
}

export async function upgrade(...more: readonly string[]): Promise<void> {
  // What an autoscaler or `kubectl scale` set is theirs; helm 4 asks before it takes it back, helm 3 just does.
  const isFour = (await helm('version', '--short')).startsWith('v4');
  await helm(
    'upgrade',
    release,
    chart,
    '--timeout',
    '5m',
    ...(isFour ? ['--force-conflicts'] : []),
    ...valuesArguments(...more),
  );
}

const parts = ['mx', 'submission', 'imap', 'outbound', 'operator'];

export async function allRolledOut(): Promise<void> {
  for (const part of parts) {
    await eventually(`${part} is rolled out`, 240, () => isRolledOut(`${release}-${part}`));
  }
}

/**
 * Alice writes to bob, and bob reads, while `happening` happens: no message may be lost, and no step may fail, unless
 * `whyMayFail` says why some do.
 */
export async function underLoad(
  { story, endpoints, alice, bob }: Scene,
  what: string,
  happening: () => Promise<void>,
  whyMayFail?: string,
): Promise<void> {
  const load = new Load(endpoints, alice, bob);
  let result;
  try {
    await story.step(what, happening);
  } finally {
    result = await load.stop();
  }
  const { sent, reads, failures } = result;
  story.note(
    `meanwhile ${sent.length} messages were handed in and the mailbox was opened ${reads} times; ${failures.length} steps failed`,
  );
  if (failures.length > 0) {
    const isExpected = whyMayFail === undefined ? 'none should' : `some may: ${whyMayFail}`;
    story.note(`${isExpected}. The first of them:\n${failures.slice(0, 3).join('\n')}`);
  }
  await story.step(`all ${sent.length} messages are there, once each`, () => assertNothingLost(endpoints, bob, result));
  if (sent.length === 0 || reads === 0) throw new Error('the load did nothing');
  if (failures.length > 0 && whyMayFail === undefined)
    throw new Error(`${failures.length} steps failed: ${failures[0]}`);
}
