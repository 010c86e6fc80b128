import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { maxManifestBytes } from '#shared/provisioning/manifest.ts';
import type { ManifestFile } from '#shared/provisioning/manifest.ts';

/** Manifest files of one folder; more is a mistake of the folder. */
const maxFiles = 10_000;

/** The *.yaml and *.yml of the folder, by name; hidden ones and folders in it are passed over. */
export async function readManifestFolder(folder: string): Promise<readonly ManifestFile[]> {
  const files: ManifestFile[] = [];
  for (const name of await listFolder(folder)) {
    const file = path.join(folder, name);
    const text = await readManifest(file);
    if (text !== null) files.push({ name: file, text });
  }
  return files;
}

async function listFolder(folder: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => /^[^.].*\.ya?ml$/.test(name)).toSorted();
    if (names.length <= maxFiles) return names;
    throw new ProgramFault(
      78,
      `${folder} has more than ${maxFiles} manifest files`,
      'Put several resources in a file.',
    );
  } catch (error) {
    throw error instanceof ProgramFault ? error : unreadable(folder, error);
  }
}

/** Null: it went meanwhile, or is a folder. */
async function readManifest(file: string): Promise<string | null> {
  try {
    const about = await stat(file);
    if (!about.isFile()) return null;
    if (about.size > maxManifestBytes) {
      throw new ProgramFault(78, `${file} is larger than ${maxManifestBytes} bytes`, 'Split it into several files.');
    }
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof ProgramFault) throw error;
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw unreadable(file, error);
  }
}

function unreadable(file: string, cause: unknown): ProgramFault {
  const { code } = cause as NodeJS.ErrnoException;
  const message = `the manifests at ${file} can't be read (${code === 'ENOENT' ? 'there is no such folder' : String(code)})`;
  return new ProgramFault(78, message, 'Name the folder of your manifests in MANIFESTS_DIR.', { cause });
}
