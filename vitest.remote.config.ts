import { defineConfig } from 'vitest/config';

// The clients against a real server (npm run test:remote sets `LORIKEET_REMOTE_URL` and `LORIKEET_REMOTE_MODEL`). It
// compiles for minutes, so the limits are wide.
if (process.env['LORIKEET_REMOTE_URL'] === undefined) {
  throw new Error('LORIKEET_REMOTE_URL must name a server. npm run test:remote starts one.');
}

export default defineConfig({
  test: {
    include: ['e2e/remote/**/*.test.ts'],
    globalSetup: ['scripts/vitest-vulkan.mjs'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
  },
});
