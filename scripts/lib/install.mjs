// The npm packages: are they there, and are they those of the lock file?
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './paths.mjs';
import { runNpm } from './run.mjs';

/** @typedef {{ packages: Record<string, { version?: string, optional?: boolean, devOptional?: boolean }> }} Lock */

/**
 * Names the first package of the lock file that is not installed in its version, or null where all are.
 * Optional packages are for other machines and may be absent.
 * @param {Lock} lock package-lock.json
 * @param {Lock} installed node_modules/.package-lock.json, which npm writes after each installation
 */
export function firstMissing(lock, installed) {
  for (const [path, wanted] of Object.entries(lock.packages)) {
    if (path === '') continue;
    const found = installed.packages[path];
    if (found ? found.version !== wanted.version : !wanted.optional) return path.replace('node_modules/', '');
  }
  return null;
}

/** @param {string} path */
function readLock(path) {
  try {
    return /** @type {Lock} */ (JSON.parse(readFileSync(join(ROOT, path), 'utf8')));
  } catch {
    return null;
  }
}

/** Installs the npm packages where one is missing or of another version; says so on stderr. */
export async function ensurePackages() {
  const lock = readLock('package-lock.json');
  if (!lock) throw new Error('package-lock.json is missing or broken. Restore it from the repository.');
  const installed = readLock('node_modules/.package-lock.json');
  const missing = installed ? firstMissing(lock, installed) : 'node_modules';
  if (missing === null) return;
  console.error(`Installing the npm packages (${missing} is missing or of another version) ...`);
  // stdout belongs to the program that we prepare, so npm writes to stderr.
  const status = await runNpm(['ci', '--include=dev', '--no-audit', '--no-fund'], {
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) throw new Error(`npm ci failed with status ${status}. Its messages are above.`);
}
