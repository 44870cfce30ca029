import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

// Tests on SmolLM2-135M-Instruct and on shared data: `LORIKEET_SMOLLM2=<folder> npx vitest run --config vitest.smollm2.config.ts`.
// `LORIKEET_SHARED` is the folder that holds data/gsm8k-400.jsonl; `../shared` unless set.
const model = process.env['LORIKEET_SMOLLM2'];
if (model === undefined || !existsSync(resolve(model, 'tokenizer.json'))) {
  throw new Error(
    `LORIKEET_SMOLLM2 must name the folder of SmolLM2-135M-Instruct; it is ${model === undefined ? 'not set' : `"${model}", which has no tokenizer.json`}.`,
  );
}

export default defineConfig({
  resolve: {
    alias: { '@smollm2': resolve(model), '@shared': resolve(process.env['LORIKEET_SHARED'] ?? '../shared') },
  },
  server: { fs: { strict: false } },
  test: {
    include: ['src/**/*.smollm2.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 1,
  },
});
