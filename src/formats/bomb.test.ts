/** Archives that claim or unpack to 10 GB, each read in a process of its own, whose memory is measured. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { build } from 'vite';

const run = promisify(execFile);
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lorikeet-bomb-'));
  await build({
    configFile: false,
    logLevel: 'error',
    publicDir: false,
    ssr: { noExternal: true },
    build: {
      ssr: fileURLToPath(new URL('./testing-bomb-child.ts', import.meta.url)),
      outDir: join(folder, 'child'),
      target: 'node20',
      rollupOptions: { output: { entryFileNames: 'main.mjs' } },
    },
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const bombs: [number: string, bomb: string, code: string][] = [
  ['87: a bomb of', 'zeros', 'INPUT_TOO_LARGE'],
  ['87: a bomb that claims', 'weights of 10 GB', 'INPUT_TOO_LARGE'],
  ['87: a bomb that claims', 'a card of 10 GB', 'INPUT_TOO_LARGE'],
  ['87: a bomb that holds', 'a file of 3.5 GB and then more', 'INPUT_TOO_LARGE'],
  ['88:', 'a bomb in a gzip', 'TAR_INVALID'],
];
it.each(bombs)('%s %s is refused with no more than 64 MB above the baseline', async (_, bomb, code) => {
  const args = ['--expose-gc', join(folder, 'child', 'main.mjs'), bomb];
  const { stdout } = await run(process.execPath, args);
  const found = JSON.parse(stdout) as {
    code: string;
    baselineMiB: number;
    peakMiB: number;
    seconds: number;
  };
  const rise = found.peakMiB - found.baselineMiB;
  console.log(
    `${bomb}: ${found.code}, ${rise.toFixed(1)} MiB above ${found.baselineMiB.toFixed(1)}, ${found.seconds.toFixed(1)} s`,
  );
  expect(found.code).toBe(code);
  expect(rise).toBeLessThan(64);
});
