// The long form of the kill tests: 300 kills of a saving program in Node, 60 of the whole browser. Takes about a quarter of an hour.
import { join } from 'node:path';
import { ensureChromium } from './lib/chromium.mjs';
import { ensurePackages } from './lib/install.mjs';
import { ROOT } from './lib/paths.mjs';
import { runNode } from './lib/run.mjs';

await ensurePackages();
await ensureChromium();
process.env['LORIKEET_KILLS'] ??= '300';
process.env['LORIKEET_BROWSER_KILLS'] ??= '60';
const tests = ['src/storage/folder-kill.test.ts', 'src/storage/indexeddb-kill.test.ts'];
process.exitCode = await runNode(join(ROOT, 'node_modules/vitest/vitest.mjs'), ['run', ...tests]);
