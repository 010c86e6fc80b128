/**
 * The MailServer that an installation declares for itself, from a file: at a first install a Helm chart can't hold
 * CustomResourceDefinitions and a resource of them, so it hands the resource to the operator.
 */
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { z } from 'zod';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { mailServers, type MailServer } from '#operator/api/mail-server.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { Writable } from '#operator/kube/resource.ts';

const manifest = z.looseObject({
  apiVersion: z.literal('postrider.dev/v1alpha1'),
  kind: z.literal('MailServer'),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({}),
});

/** Owns the fields of the file; what somebody else adds beside them stays. */
const fieldManager = 'postrider-chart';

export type DeclaredMailServerOptions = {
  readonly client: KubeClient;
  readonly file: string;
  /** Where the resource goes, whatever the file says. */
  readonly namespace: string;
  readonly logger: Logger;
};

/** ProgramFault 78 where the file is none; KubeError where the API server refuses what it says. */
export async function applyDeclaredMailServer(options: DeclaredMailServerOptions): Promise<void> {
  const { client, file, namespace, logger } = options;
  const declared = await readManifest(file);
  const metadata = { ...declared.metadata, namespace };
  await client.apply(mailServers, { ...declared, metadata } as Writable<MailServer>, { fieldManager });
  logger.info({ event: 'mail-server.applied', namespace, name: metadata.name }, 'applied the declared MailServer');
}

async function readManifest(file: string): Promise<z.output<typeof manifest>> {
  try {
    return manifest.parse(parse(await readFile(file, 'utf8')));
  } catch (cause) {
    throw new ProgramFault(
      78,
      `MAIL_SERVER_FILE: ${file} is no manifest of a MailServer`,
      'Write one resource of apiVersion postrider.dev/v1alpha1.',
      { cause },
    );
  }
}
