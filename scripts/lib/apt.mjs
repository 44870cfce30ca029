// Debian's packages, for machines where we may install them: fresh containers, mostly.
import { existsSync } from 'node:fs';
import { run } from './run.mjs';

/** Whether this is Debian (or a child of it) and we are root. */
export function canApt() {
  return existsSync('/etc/debian_version') && process.getuid?.() === 0;
}

/**
 * Installs a Debian package and resolves with whether that worked.
 * @param {string} name
 */
export async function aptInstall(name) {
  console.error(`Installing the Debian package ${name} ...`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  /** @type {import('node:child_process').StdioOptions} */
  const stdio = ['ignore', 2, 2];
  if ((await run('apt-get', ['update', '-qq'], { env, stdio })) !== 0) return false;
  const args = ['install', '-y', '-qq', '--no-install-recommends', name];
  return (await run('apt-get', args, { env, stdio })) === 0;
}
