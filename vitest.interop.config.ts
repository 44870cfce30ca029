import { defineConfig } from 'vitest/config';

// Python interop tests: the engine and the built command line on one side, real PEFT and transformers on the other
// (`LORIKEET_PYTHON`, set by npm test). One after the other: each side alone uses all cores.
export default defineConfig({
  test: {
    include: ['e2e/interop/**/*.test.ts', 'src/**/*.interop.ts'],
    globalSetup: ['scripts/vitest-vulkan.mjs'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
  },
});
