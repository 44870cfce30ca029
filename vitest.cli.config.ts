import { defineConfig } from 'vitest/config';

// Tests of the built command line: each runs `bin/lorikeet.mjs` as a program of its own, on the chosen Vulkan driver.
export default defineConfig({
  test: {
    include: ['e2e/cli/**/*.test.ts'],
    globalSetup: ['scripts/vitest-vulkan.mjs', 'scripts/vitest-cli.mjs'],
    testTimeout: 400_000,
    hookTimeout: 900_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
