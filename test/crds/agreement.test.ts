/**
 * The API server and the program take the same specs, and read the same from them. Where they differ the API server
 * takes more, and the operator says Accepted=False:
 * - null: the API server drops it, where the program wants a value or nothing;
 * - text beyond ASCII: the program counts local parts and addresses in bytes and wants them in NFC and lower case, and
 *   counts displayName in UTF-16 units;
 * - url: the program reads it as the URL standard does, which knows ports and numbers that are none;
 * - addresses of hosts, networks: see `isStrange`.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startKubeApiserver } from '../harness/kube-apiserver.ts';
import type { KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { crdFolder } from '../../tools/crds.ts';
import { ApiRequests } from './api-request.ts';
import { collectionOf, crdOf, crds, manifestOf, specOf } from './kinds.ts';
import { arbitraryOf } from './spec-arbitrary.ts';
import { cases } from './spec-cases.ts';

const kinds = crds.map(({ kind }) => kind);
const runs = 250;

type Verdict = { readonly isAccepted: boolean; readonly why: string; readonly spec: unknown };

describe.skipIf(lacksKube())('a spec, before the API server and before the program', () => {
  let server: KubeApiserver;
  let api: ApiRequests;
  beforeAll(async () => {
    server = await startKubeApiserver({ crds: [crdFolder] });
    api = new ApiRequests(server);
  });
  afterAll(async () => {
    api?.[Symbol.dispose]();
    await server?.[Symbol.asyncDispose]();
  });

  async function askServer(kind: string, spec: unknown): Promise<Verdict> {
    const path = `${collectionOf(kind)}?dryRun=All&fieldValidation=Strict`;
    const { status, body } = await api.send('POST', path, manifestOf(kind, spec));
    if (status === 201) return { isAccepted: true, why: '', spec: body['spec'] };
    if (status === 400 || status === 422) return { isAccepted: false, why: String(body['message']), spec: undefined };
    throw new Error(`the API server answered ${status}: ${JSON.stringify(body)}`);
  }

  function askProgram(kind: string, spec: unknown): Verdict {
    const { success, data, error } = specOf(kind).safeParse(spec);
    return { isAccepted: success, why: success ? '' : JSON.stringify(error.issues), spec: data };
  }

  async function askBoth(kind: string, spec: unknown) {
    return { theirs: await askServer(kind, spec), ours: askProgram(kind, spec) };
  }

  test.each(kinds)('%s: what is accepted, with the same defaults', async (kind) => {
    for (const spec of cases[kind]?.accepted ?? []) {
      const { theirs, ours } = await askBoth(kind, spec);
      expect(theirs.why || ours.why, JSON.stringify(spec)).toBe('');
      // What is stored, with the API server's defaults in it, reads as what was written.
      expect(askProgram(kind, theirs.spec), JSON.stringify(spec)).toEqual(ours);
    }
  });

  test.each(kinds)('%s: what is refused', async (kind) => {
    for (const spec of cases[kind]?.refused ?? []) {
      const { theirs, ours } = await askBoth(kind, spec);
      expect({ theirs: theirs.isAccepted, ours: ours.isAccepted }, JSON.stringify(spec)).toEqual({
        theirs: false,
        ours: false,
      });
    }
  });

  test.each(kinds)('%s: any spec', { timeout: 120_000 }, async (kind) => {
    const schema = crdOf(kind).schema.properties?.['spec'];
    if (!schema) throw new Error(`${kind} has no spec`);
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(arbitraryOf(schema, 60), async (spec) => {
        fc.pre(!isStrange(spec));
        const { theirs, ours } = await askBoth(kind, spec);
        if (theirs.isAccepted !== ours.isAccepted) throw new Error(`API server: ${theirs.why}\nprogram: ${ours.why}`);
        if (!theirs.isAccepted) return;
        accepted++;
        expect(askProgram(kind, theirs.spec)).toEqual(ours);
      }),
      { numRuns: runs },
    );
    // Both saying no to everything would be no agreement.
    expect(accepted).toBeGreaterThan(runs / 25);
  });
});

/** URLs with a port that is none. */
function isStrange(spec: unknown): boolean {
  return JSON.stringify(spec).includes(':99999');
}
