// Starts other programs.
import { spawn, spawnSync } from 'node:child_process';
import { ROOT } from './paths.mjs';

/**
 * Runs a program in the project's folder and resolves with its exit status (127 where it cannot be started).
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, stdio?: import('node:child_process').StdioOptions, shell?: boolean }} [options]
 * @returns {Promise<number>}
 */
export function run(command, args, { env = process.env, stdio = 'inherit', shell = false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, env, stdio, shell });
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(127);
    });
    child.on('close', (status) => resolve(status ?? 1));
  });
}

/**
 * Runs a Node script, such as a tool's entry in node_modules.
 * @param {string} script
 * @param {string[]} args
 * @param {Parameters<typeof run>[2]} [options]
 */
export function runNode(script, args, options) {
  return run(process.execPath, [script, ...args], options);
}

/**
 * Runs npm: the one that started us where there is one.
 * @param {string[]} args
 * @param {Parameters<typeof run>[2]} [options]
 */
export function runNpm(args, options) {
  const started = process.env['npm_execpath'];
  if (started?.endsWith('.js')) return runNode(started, args, options);
  // On Windows npm is a batch file, which only a shell can start.
  return run('npm', args, { ...options, shell: process.platform === 'win32' });
}

/**
 * Runs a program to its end and returns what it printed; null where it fails, is missing or takes too long.
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, timeout?: number }} [options]
 */
export function capture(command, args, { env = process.env, timeout = 60_000 } = {}) {
  const { status, stdout } = spawnSync(command, args, { cwd: ROOT, env, timeout, encoding: 'utf8' });
  return status === 0 ? stdout : null;
}
