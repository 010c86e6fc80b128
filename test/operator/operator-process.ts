/** The operator as a program, which a test can stop, pause and kill. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { freePorts } from '../harness/ports.ts';

/**
 * As in Dockerfile.operator, with the heap that Node gives itself in a pod with the chart's limit of 512 Mi; and what a
 * person adds who looks for something (--cpu-prof).
 */
const nodeOptions = [
  '--max-semi-space-size=2',
  '--initial-old-space-size=64',
  '--heap-growing-percent=20',
  '--max-old-space-size=256',
  ...(process.env['OPERATOR_NODE_OPTIONS']?.split(' ') ?? []),
];

export interface OperatorProcess extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly httpPort: number;
  log(): string;
  /** Resolves with the exit code, null after a signal. */
  readonly ended: Promise<number | null>;
  isLeading(): boolean;
}

export async function startOperatorProcess(options: {
  readonly kubeconfig: string;
  readonly databaseUrl: string;
  readonly identity: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Another program than operator/main.ts. */
  readonly program?: string;
  readonly nodeOptions?: readonly string[];
}): Promise<OperatorProcess> {
  const [httpPort = 0] = await freePorts(1);
  const child = spawn(
    process.execPath,
    [...nodeOptions, ...(options.nodeOptions ?? []), options.program ?? 'operator/main.ts'],
    {
      env: {
        PATH: process.env['PATH'] ?? '',
        // As in Dockerfile.operator.
        GLIBC_TUNABLES: 'glibc.malloc.mmap_threshold=1048576',
        KUBECONFIG: options.kubeconfig,
        DATABASE_URL: options.databaseUrl,
        OPERATOR_NAMESPACE: 'default',
        OPERATOR_IDENTITY: options.identity,
        HTTP_HOST: '127.0.0.1',
        HTTP_PORT: String(httpPort),
        ...options.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let log = '';
  const hear = (chunk: Buffer): void => void (log += chunk.toString());
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  return {
    process: child,
    httpPort,
    log: () => log,
    ended,
    isLeading: () => log.includes('"operator.working"'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
