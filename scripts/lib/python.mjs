// The virtual environment of the Python tests: made in .venv from tools/requirements.txt, again when that changes.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, canApt } from './apt.mjs';
import { ROOT } from './paths.mjs';
import { capture, run } from './run.mjs';

const VENV = join(ROOT, '.venv');
const STAMP = join(VENV, 'lorikeet-requirements.sha256');
const REQUIREMENTS = join(ROOT, 'tools/requirements.txt');
const VENV_PYTHON = join(VENV, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
const CHECK = 'import sys, venv, ensurepip; sys.exit(0 if sys.version_info >= (3, 10) else 1)';

/** A Python of at least 3.10 that can make virtual environments, or null. */
function findPython() {
  const names = ['python3', 'python', 'python3.13', 'python3.12', 'python3.11', 'python3.10'];
  return names.find((name) => capture(name, ['-c', CHECK]) !== null) ?? null;
}

/**
 * The interpreter with the packages of tools/requirements.txt, or the reason why there is none.
 * LORIKEET_PYTHON names one that is taken as it is.
 * @returns {Promise<{ python: string } | { reason: string }>}
 */
export async function ensurePython() {
  const named = process.env['LORIKEET_PYTHON'];
  if (named) {
    if (capture(named, ['--version']) !== null) return { python: named };
    return { reason: `LORIKEET_PYTHON is ${named}, which does not start.` };
  }
  const wanted = createHash('sha256').update(readFileSync(REQUIREMENTS)).digest('hex');
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted && capture(VENV_PYTHON, ['--version'])) {
    return { python: VENV_PYTHON };
  }
  const base = findPython() ?? (canApt() && (await aptInstall('python3-venv')) ? findPython() : null);
  if (!base) return { reason: 'There is no Python 3.10 or newer that can make virtual environments.' };
  console.error('Making the Python environment in .venv (PyTorch is large: this takes minutes) ...');
  rmSync(VENV, { recursive: true, force: true });
  if ((await run(base, ['-m', 'venv', VENV])) !== 0) return { reason: `${base} -m venv failed.` };
  const status = await pipInstall(['-r', REQUIREMENTS]);
  if (status !== 0) return { reason: `pip could not install tools/requirements.txt (status ${status}).` };
  writeFileSync(STAMP, wanted);
  return { python: VENV_PYTHON };
}

/**
 * Installs packages into .venv and resolves with pip's exit status.
 * @param {string[]} args
 */
export function pipInstall(args) {
  const options = ['--quiet', '--disable-pip-version-check', '--no-input'];
  return run(VENV_PYTHON, ['-m', 'pip', 'install', ...options, ...args], { stdio: ['ignore', 2, 2] });
}
