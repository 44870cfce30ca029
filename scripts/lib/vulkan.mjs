// Which Vulkan driver Dawn uses in Node: the environment of kernel tests and benchmarks.
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from './paths.mjs';
import { capture } from './run.mjs';

/** @typedef {{ name: string, software: boolean }} Adapter */
/** @typedef {{ driver: string, env: Record<string, string>, accept: (adapter: Adapter) => boolean }} Candidate */
/** @typedef {{ driver: string, adapter: Adapter, env: Record<string, string> }} Choice */

const MANIFESTS = ['/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/usr/share/vulkan/icd.d'];
const NOT_HARDWARE = /^(lvp|vk_swiftshader|gfxstream|virtio|dzn)/;

/** Drivers named by their manifests, as the loader would find them. */
function manifests() {
  const files = MANIFESTS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder).map((name) => ({ name, path: join(folder, name) })),
  );
  return files.filter(({ name }) => name.endsWith('.json')).sort((a, b) => a.name.localeCompare(b.name));
}

/**
 * Whether this lavapipe computes correctly: Mesa 25 and later, but not with LLVM 22, which miscompiles compute shaders.
 * @param {string} name as in `llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)`
 */
export function isGoodLavapipe(name) {
  const mesa = Number(/Mesa (\d+)/.exec(name)?.[1] ?? 0);
  const llvm = Number(/LLVM (\d+)/.exec(name)?.[1] ?? 0);
  return mesa >= 25 && llvm < 22;
}

/**
 * The drivers of the system, best first.
 * @returns {Candidate[]}
 */
function systemDrivers() {
  const found = manifests();
  const hardware = found.filter(({ name }) => !NOT_HARDWARE.test(name)).map(({ path }) => path);
  /** @type {Candidate[]} */
  const list = [];
  if (hardware.length > 0) {
    const env = { VK_ICD_FILENAMES: hardware.join(':') };
    list.push({ driver: 'hardware', env, accept: ({ software }) => !software });
  }
  for (const { path } of found.filter(({ name }) => name.startsWith('lvp'))) {
    list.push({
      driver: 'lavapipe',
      env: { VK_ICD_FILENAMES: path },
      accept: ({ name }) => isGoodLavapipe(name),
    });
  }
  return list;
}

/**
 * SwiftShader as a Chromium ships it, beside a Vulkan loader in case the system has none.
 * @param {string | null} chromium
 * @returns {Candidate[]}
 */
function swiftShaders(chromium) {
  /** @type {Candidate[]} */
  const list = [];
  const folders = [
    ...(chromium ? [dirname(realpathSync(chromium))] : []),
    '/usr/lib/chromium',
    '/opt/google/chrome',
  ];
  for (const folder of folders) {
    const manifest = join(folder, 'vk_swiftshader_icd.json');
    if (!existsSync(manifest)) continue;
    const env = { VK_ICD_FILENAMES: manifest };
    const library = { LD_LIBRARY_PATH: [folder, process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':') };
    list.push({ driver: 'swiftshader', env, accept: () => true });
    list.push({ driver: 'swiftshader', env: { ...env, ...library }, accept: () => true });
  }
  return list;
}

/**
 * Asks Dawn for the adapter that it finds in an environment; null where it finds none.
 * @param {Record<string, string>} env
 * @returns {Adapter | null}
 */
function probe(env) {
  const script = join(ROOT, 'scripts/lib/probe-adapter.mjs');
  const answer = capture(process.execPath, [script], { env: { ...process.env, ...env }, timeout: 60_000 });
  return answer ? JSON.parse(answer) : null;
}

/**
 * The first of some drivers that gives an adapter which will do.
 * @param {Candidate[]} list
 * @returns {Choice | null}
 */
function firstThatWorks(list) {
  const runtime = { XDG_RUNTIME_DIR: process.env['XDG_RUNTIME_DIR'] ?? tmpdir() };
  for (const { driver, env, accept } of list) {
    const adapter = probe({ ...runtime, ...env });
    if (adapter && accept(adapter)) return { driver, adapter, env: { ...runtime, ...env } };
  }
  return null;
}

/**
 * Chooses the driver for Dawn: what the environment names, else a real GPU, lavapipe, or Chromium's SwiftShader.
 * Null where none gives an adapter. `env` is to be added to the environment of whatever uses Dawn.
 * @param {() => Promise<string | null>} findChromium asked only where the system has no driver that works
 * @param {string} [only] consider the drivers of this name only
 * @returns {Promise<Choice | null>}
 */
export async function chooseVulkan(findChromium, only) {
  /** @param {Candidate} candidate */
  const wanted = ({ driver }) => only === undefined || only === driver;
  const given = process.env['VK_ICD_FILENAMES'] || process.env['VK_DRIVER_FILES'];
  // Elsewhere Dawn uses Metal or Direct3D.
  if (process.platform !== 'linux' || (given && only === undefined)) {
    return firstThatWorks([{ driver: given ? 'environment' : 'system', env: {}, accept: () => true }]);
  }
  return (
    firstThatWorks(systemDrivers().filter(wanted)) ??
    firstThatWorks(swiftShaders(await findChromium()).filter(wanted))
  );
}
