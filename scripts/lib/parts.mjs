// The parts of npm test: each runs one tool and counts what it found.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BUILDS, ensureBuilt } from './build.mjs';
import { ensureChromium } from './chromium.mjs';
import { countCheck, countPlaywright, countVitest } from './counts.mjs';
import { playwrightFailures, vitestFailures } from './failures.mjs';
import { CACHE, ROOT } from './paths.mjs';
import { ensurePython } from './python.mjs';
import { runNode } from './run.mjs';
import { ensureTinkerSdk } from './tinker-sdk.mjs';
import { chooseVulkan } from './vulkan.mjs';

/** @typedef {import('./counts.mjs').Counts} Counts */
/** @typedef {{ name: string, title: string, run: () => Promise<Counts> }} Part */

/** @param {string} path below the project */
const entry = (path) => join(ROOT, path);

/**
 * @param {string} script
 * @param {string[]} args
 */
const check = async (script, ...args) => countCheck((await runNode(entry(script), args)) === 0);

/**
 * The path for a runner's report, without one of an earlier run; and what reads it (null where the runner wrote none).
 * @param {string} name
 */
function freshReport(name) {
  const path = join(CACHE, 'reports', `${name}.json`);
  mkdirSync(join(CACHE, 'reports'), { recursive: true });
  rmSync(path, { force: true });
  return { path, read: () => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null) };
}

/**
 * @param {string} name
 * @param {string} config
 * @param {NodeJS.ProcessEnv} env
 */
async function vitest(name, config, env) {
  const report = freshReport(name);
  const args = [
    'run',
    '--config',
    config,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report.path}`,
  ];
  const status = await runNode(entry('node_modules/vitest/vitest.mjs'), args, { env });
  const found = report.read();
  return { ...countVitest(found, status), failures: vitestFailures(found) };
}

/** Kernel tests need an adapter: the driver of the system, or the one that Chromium ships. */
async function unit() {
  const choice = await chooseVulkan(ensureChromium);
  if (!choice) {
    console.error(
      'No WebGPU adapter: Dawn found no Vulkan driver that works. Set VK_ICD_FILENAMES to its manifest.',
    );
    return countCheck(false);
  }
  console.log(`Dawn runs on ${choice.adapter.name} (${choice.driver})`);
  return vitest('unit', 'vitest.config.ts', { ...process.env, ...choice.env });
}

async function build() {
  for (const name of Object.keys(BUILDS))
    await ensureBuilt(/** @type {keyof typeof BUILDS} */ (name), { force: true });
  return countCheck(true);
}

/** The page's tests start programs as well: a server, and the relay before it. */
async function e2e() {
  const chromium = await ensureChromium();
  const choice = await chooseVulkan(ensureChromium);
  console.log(`Chromium is ${chromium}`);
  const report = freshReport('e2e');
  const env = {
    ...process.env,
    ...choice?.env,
    LORIKEET_CHROMIUM: chromium,
    PLAYWRIGHT_JSON_OUTPUT_FILE: report.path,
  };
  const args = ['test', '--config', 'e2e/playwright.config.ts', '--reporter=list,json'];
  const status = await runNode(entry('node_modules/@playwright/test/cli.js'), args, { env });
  const found = report.read();
  return { ...countPlaywright(found, status), failures: playwrightFailures(found) };
}

/** Dawn's driver is chosen here, so that every program that the tests start finds it. */
async function cli() {
  const choice = await chooseVulkan(ensureChromium);
  return vitest('cli', 'vitest.cli.config.ts', { ...process.env, ...choice?.env });
}

async function interop() {
  const found = await ensurePython();
  if ('reason' in found) {
    console.log(`SKIPPED: Python interop tests: ${found.reason}`);
    // In CI a part that did not run is not a success.
    return process.env['CI'] === 'true' ? countCheck(false) : { passed: 0, failed: 0, skipped: 1 };
  }
  const choice = await chooseVulkan(ensureChromium);
  const sdk = await ensureTinkerSdk(found.python);
  // Without it the tests of the server fail, and this says why.
  if ('reason' in sdk) console.error(sdk.reason);
  const tinker = 'reason' in sdk ? {} : { LORIKEET_TINKER_NEWEST: sdk.newest, LORIKEET_TINKER_OLD: sdk.old };
  const env = { ...process.env, ...choice?.env, ...tinker, LORIKEET_PYTHON: found.python };
  return vitest('interop', 'vitest.interop.config.ts', env);
}

/** @type {Part[]} In the order in which they run. */
export const PARTS = [
  { name: 'types', title: 'Types (tsc)', run: () => check('node_modules/typescript/bin/tsc', '--noEmit') },
  {
    name: 'lint',
    title: 'Lint and import boundaries (oxlint)',
    run: () => check('node_modules/oxlint/bin/oxlint'),
  },
  {
    name: 'format',
    title: 'Format (prettier)',
    run: () => check('node_modules/prettier/bin/prettier.cjs', '--check', '.'),
  },
  { name: 'sizes', title: 'File sizes', run: () => check('scripts/check-sizes.mjs') },
  {
    name: 'packages',
    title: 'Packages (licences, lock file)',
    run: () => check('scripts/check-packages.mjs'),
  },
  { name: 'unit', title: 'Unit and kernel tests (vitest, Dawn)', run: unit },
  { name: 'build', title: 'Build (studio, command line, benchmark)', run: build },
  { name: 'cli', title: 'Command line tests (vitest, the built program)', run: cli },
  { name: 'e2e', title: 'End-to-end tests (Playwright, Chromium)', run: e2e },
  { name: 'interop', title: 'Python interop tests (vitest, PEFT, transformers)', run: interop },
];
