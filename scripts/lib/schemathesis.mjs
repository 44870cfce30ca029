// schemathesis in an environment of its own, and what it found.
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { CACHE, ROOT } from './paths.mjs';
import { capture, run } from './run.mjs';

const VERSION = '4.32.5';
const HOME = join(CACHE, `schemathesis-${VERSION}`);
const BIN = join(HOME, process.platform === 'win32' ? 'Scripts' : 'bin');
const READY = join(HOME, '.ready');

/** Installs it where it is missing. */
export async function ensureSchemathesis() {
  if (existsSync(READY)) return;
  const check = 'import sys, venv, ensurepip; sys.exit(0 if sys.version_info >= (3, 10) else 1)';
  const python = ['python3', 'python'].find((name) => capture(name, ['-c', check]) !== null);
  if (python === undefined) throw new Error('schemathesis needs Python 3.10 or newer with venv.');
  console.log(`Installing schemathesis ${VERSION} into ${HOME} ...`);
  mkdirSync(HOME, { recursive: true });
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input'];
  if (
    (await run(python, ['-m', 'venv', '--clear', HOME])) !== 0 ||
    (await run(join(BIN, 'python'), [...pip, `schemathesis==${VERSION}`])) !== 0
  ) {
    throw new Error(`schemathesis ${VERSION} could not be installed.`);
  }
  writeFileSync(READY, '');
}

/**
 * @typedef {object} Found
 * @property {number} cases requests that it made
 * @property {number} operations of the description
 * @property {string[]} problems
 * @property {string} output file with all that it printed
 */

/** @param {unknown} report @param {number | null} status @param {string} output @returns {Found} */
function readReport(report, status, output) {
  const { test_cases, operations, failures, errors } =
    /** @type {{ test_cases: { generated: number }, operations: { tested: number } | null, failures: { title: string, operations: string[] }[], errors: { title: string }[] }} */ (
      report
    );
  const problems = [
    ...failures.map(({ title, operations: where }) => `${title}: ${where.join(', ')}`),
    ...errors.map(({ title }) => title),
  ];
  if (problems.length === 0 && status !== 0) problems.push(`schemathesis ended with ${status}`);
  return { cases: test_cases.generated, operations: operations?.tested ?? 0, problems, output };
}

/**
 * Runs it over a description of an interface for some seconds.
 * @param {{ name: string, schema: string, url: string, seconds: number, seed: number, headers: Record<string, string> }} o
 * @returns {Promise<Found>}
 */
export async function runSchemathesis({ name, schema, url, seconds, seed, headers }) {
  const folder = join(CACHE, 'fuzz', name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const report = join(folder, 'report.json');
  const output = join(folder, 'output.txt');
  const checks = ['--checks', 'fails_by_name', '--continue-on-failure', '--no-shrink', '--warnings', 'off'];
  const limits = ['--max-time', String(seconds), '--request-timeout', '45', '--seed', String(seed)];
  const files = ['--generation-database', 'none', '--report-json-path', report];
  const given = Object.entries(headers).flatMap(([key, value]) => ['-H', `${key}: ${value}`]);
  const args = ['run', schema, '--url', url, '--no-color', ...checks, ...limits, ...files, ...given];
  const env = { ...process.env, SCHEMATHESIS_HOOKS: 'fuzz_checks', PYTHONPATH: join(ROOT, 'tools') };
  const child = spawn(join(BIN, 'schemathesis'), args, {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log = createWriteStream(output);
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  /** @type {number | null} */
  const status = await new Promise((resolve) => child.on('close', resolve));
  if (!existsSync(report)) throw new Error(`schemathesis ended with ${status} and no report; see ${output}.`);
  return readReport(JSON.parse(readFileSync(report, 'utf8')), status, output);
}
