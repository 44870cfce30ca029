#!/usr/bin/env node
// The command `lorikeet`: installs and builds what is missing, then runs the built command line in this process.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureBuilt } from '../scripts/lib/build.mjs';
import { ensurePackages } from '../scripts/lib/install.mjs';
import { ROOT } from '../scripts/lib/paths.mjs';

try {
  await ensurePackages();
  await ensureBuilt('cli');
} catch (error) {
  console.error(`lorikeet: INTERNAL: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
// Vulkan drivers want this folder; where there is no desktop session it is not set.
process.env['XDG_RUNTIME_DIR'] ??= tmpdir();
await import(pathToFileURL(join(ROOT, 'dist/cli/main.js')).href);
