/** GNU tar and Python's tarfile (tools/check_tar.py), for the interop tests of archives. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { sha256Hex } from './sha256.ts';
import type { Chunk } from './streams.ts';

const exec = promisify(execFile);
/** Names are bytes to both programs, and times are those of Greenwich. */
const env = { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC', PYTHONUTF8: '1' };

/** Runs a program; rejects when it fails or complains. */
export async function run(program: string, args: readonly string[], cwd?: string): Promise<string> {
  const { stdout, stderr } = await exec(program, args, { cwd, env, maxBuffer: 2 ** 28 });
  if (stderr !== '') throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** Runs a script of tools/ with the Python of the interop tests. */
export async function python(script: string, args: readonly string[]): Promise<string> {
  const command = process.env['LORIKEET_PYTHON'];
  if (command === undefined) throw new Error('LORIKEET_PYTHON is not set; npm test sets it.');
  return run(command, [new URL(`../../tools/${script}`, import.meta.url).pathname, ...args]);
}

let found: string | null = null;

/** Runs GNU tar, which macOS has as `gtar` where it has it. */
export async function gnuTar(args: readonly string[], cwd?: string): Promise<string> {
  for (const name of found === null ? ['gtar', 'tar'] : []) {
    const version = await run(name, ['--version']).catch(() => '');
    if (version.includes('GNU tar')) found = name;
    if (found !== null) break;
  }
  if (found === null) throw new Error('GNU tar is missing. Install it (Debian: tar, Homebrew: gnu-tar).');
  return run(found, args, cwd);
}

export interface OtherEntry {
  name: string;
  type: string;
  size: number;
  mode: number;
  mtime: number;
  uid: number;
  gid: number;
  sha256: string;
}

export type OtherVerdict = { ok: true; entries: OtherEntry[] } | { ok: false; error: string };

/** What Python's tarfile makes of archives. */
export async function readByPython(paths: readonly string[]): Promise<OtherVerdict[]> {
  const lines = (await python('check_tar.py', ['read', ...paths])).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as OtherVerdict);
}

/** Every file below a folder: path to hash. */
export async function hashesBelow(dir: string, prefix = ''): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const entry of await readdir(join(dir, prefix), { withFileTypes: true })) {
    const path = prefix + entry.name;
    if (entry.isDirectory()) Object.assign(hashes, await hashesBelow(dir, `${path}/`));
    else hashes[path] = sha256Hex(new Uint8Array(await readFile(join(dir, path))));
  }
  return hashes;
}

/** Extracts an archive with GNU tar into a new folder below `work`. */
export async function extractByGnuTar(work: string, archive: string): Promise<string> {
  const dir = await mkdtemp(join(work, 'out-'));
  await gnuTar(['-xf', archive, '-C', dir]);
  return dir;
}

/** Writes files of these texts below a folder. */
export async function writeTree(dir: string, files: Readonly<Record<string, string | Chunk>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }
}
