// npm run bench: builds the benchmark and runs it in Node on a driver of choice.
//   npm run bench -- --driver lavapipe ...     hardware, lavapipe or swiftshader; the rest goes to the benchmark
import { join } from 'node:path';
import { ensureBuilt } from './lib/build.mjs';
import { ensureChromium } from './lib/chromium.mjs';
import { ensurePackages } from './lib/install.mjs';
import { ROOT } from './lib/paths.mjs';
import { runNode } from './lib/run.mjs';
import { chooseVulkan } from './lib/vulkan.mjs';

const args = process.argv.slice(2);
const at = args.indexOf('--driver');
const driver = at < 0 ? undefined : args.splice(at, 2)[1];

await ensurePackages();
await ensureBuilt('bench');
const choice = await chooseVulkan(ensureChromium, driver);
if (!choice) {
  console.error(`npm run bench: no WebGPU adapter${driver ? ` on the driver ${driver}` : ''}.`);
  process.exit(1);
}
console.error(`Dawn runs on ${choice.adapter.name} (${choice.driver})`);
process.exitCode = await runNode(join(ROOT, 'dist/bench/main.js'), args, {
  env: { ...process.env, ...choice.env },
});
