import { defineConfig } from 'vitest/config';

// Unit and kernel tests run in Node; the kernels on Dawn (npm `webgpu`), one device per test file.
export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'src/**/*.test.tsx', 'workers/**/*.test.ts', 'scripts/**/*.test.mjs'],
    globalSetup: ['scripts/vitest-vulkan.mjs'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two cores: more forks only fight for the software adapter. Forks, because Dawn is a native addon.
    pool: 'forks',
    maxWorkers: 2,
  },
});
