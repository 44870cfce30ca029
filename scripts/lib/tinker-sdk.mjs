// The official Python client of the Tinker protocol, in two versions: made in .cache/tinker, again when the pins change.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { CACHE, ROOT } from './paths.mjs';
import { capture, run } from './run.mjs';

const REQUIREMENTS = join(ROOT, 'tools/requirements-tinker.txt');
/** The last one before the client sent protobuf alone. */
const OLD = '0.24.1';

/**
 * Folders for PYTHONPATH, each with all that the client of its version needs besides .venv; or the reason why there are none.
 * @param {string} python an interpreter with the packages of tools/requirements.txt
 * @returns {Promise<{ newest: string, old: string } | { reason: string }>}
 */
export async function ensureTinkerSdk(python) {
  const version = capture(python, [
    '-c',
    'import sys; print(sys.version_info >= (3, 11), sys.version)',
  ])?.trim();
  if (!version?.startsWith('True')) return { reason: 'The Tinker client needs Python 3.11 or newer.' };
  const pins = readFileSync(REQUIREMENTS, 'utf8');
  const name = createHash('sha256').update(`${version}\n${OLD}\n${pins}`).digest('hex').slice(0, 16);
  const home = join(CACHE, 'tinker', name);
  // Packages of such a folder count as installed ones for libraries that tell them from a program's own modules.
  const folderOf = (/** @type {string} */ base, /** @type {string} */ which) =>
    join(base, which, 'site-packages');
  if (!existsSync(home)) {
    console.error('Installing the Python client of the Tinker protocol into .cache/tinker ...');
    const staging = `${home}-${process.pid}`;
    rmSync(staging, { recursive: true, force: true });
    mkdirSync(staging, { recursive: true });
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--no-deps'];
    const newest = [...pip, '--target', folderOf(staging, 'newest'), '-r', REQUIREMENTS];
    const old = [...pip, '--target', folderOf(staging, 'old'), `tinker==${OLD}`];
    for (const args of [newest, old]) {
      const status = await run(python, args, { stdio: ['ignore', 2, 2] });
      if (status === 0) continue;
      rmSync(staging, { recursive: true, force: true });
      return { reason: `pip could not install the Tinker client (status ${status}).` };
    }
    renameSync(staging, home);
  }
  // The older client stands before the newer one and shares what both need.
  const newest = folderOf(home, 'newest');
  return { newest, old: [folderOf(home, 'old'), newest].join(delimiter) };
}
