// Vitest's global set-up: builds the command line once, before tests start it side by side.
import { ensureBuilt } from './lib/build.mjs';

export async function setup() {
  await ensureBuilt('cli');
}
