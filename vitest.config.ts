import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';

const ALL = ['src/**/*.test.ts', 'src/**/*.test.tsx', 'workers/**/*.test.ts', 'scripts/**/*.test.mjs'];

/** The tests that compute on a GPU: they say so by what they import. */
const onGpu = ['src', 'workers'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter((path) => path.endsWith('.test.ts'))
    .filter((path) => /from '.*\/(testing\/gpu|cli\/node-host)\.ts'/.test(readFileSync(path, 'utf8'))),
);

// Unit and kernel tests run in Node; the kernels on Dawn (npm `webgpu`), one device per test file.
export default defineConfig({
  test: {
    globalSetup: ['scripts/vitest-vulkan.mjs'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Forks, because Dawn is a native addon.
    pool: 'forks',
    projects: [
      {
        extends: true,
        // A software adapter takes both cores by itself: two at once take longer than one after the other.
        test: { name: 'gpu', include: onGpu, maxWorkers: 1, sequence: { groupOrder: 0 } },
      },
      {
        extends: true,
        test: {
          name: 'rest',
          include: ALL,
          exclude: [...configDefaults.exclude, ...onGpu],
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
