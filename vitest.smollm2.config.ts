import { defineConfig } from 'vitest/config';

// Tests on SmolLM2-135M, which are too long for npm test (npm run test:smollm2 sets `LORIKEET_SMOLLM2`).
export default defineConfig({
  test: {
    include: ['e2e/smollm2/**/*.test.ts'],
    globalSetup: ['scripts/vitest-vulkan.mjs'],
    testTimeout: 3_600_000,
    hookTimeout: 3_600_000,
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
  },
});
