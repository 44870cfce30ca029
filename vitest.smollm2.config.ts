import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

// Tests on SmolLM2-135M, which are too long for npm test or need files that are not in the repository
// (npm run test:smollm2 sets `LORIKEET_SMOLLM2`, the folder of the model).
const model = process.env['LORIKEET_SMOLLM2'];
if (model === undefined || !existsSync(resolve(model, 'tokenizer.json'))) {
  throw new Error(
    `LORIKEET_SMOLLM2 must name the folder of SmolLM2-135M-Instruct; it is ${model === undefined ? 'not set' : `"${model}", which has no tokenizer.json`}.`,
  );
}

export default defineConfig({
  resolve: {
    // Where src/data/tokenizer.smollm2.ts finds its files; it may not read files itself.
    alias: { '@smollm2': resolve(model), '@shared': resolve(import.meta.dirname, '../shared') },
  },
  test: {
    include: ['src/**/*.smollm2.ts', 'e2e/smollm2/**/*.test.ts'],
    globalSetup: ['scripts/vitest-vulkan.mjs'],
    testTimeout: 3_600_000,
    hookTimeout: 3_600_000,
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
  },
});
