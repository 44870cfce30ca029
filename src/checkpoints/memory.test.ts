/** What an export and an import take, each in a process of its own whose memory is measured. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build } from 'vite';

interface Figures {
  adapterMiB: number;
  contentMiB: number;
  baselineMiB: number;
  peakMiB: number;
  seconds: number;
}

const run = promisify(execFile);
let folder = '';

async function child(...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, ['--expose-gc', join(folder, 'child/main.mjs'), ...args]);
  return stdout;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lorikeet-memory-'));
  await build({
    configFile: false,
    logLevel: 'error',
    publicDir: false,
    ssr: { noExternal: true },
    build: {
      ssr: fileURLToPath(new URL('./testing-memory-child.ts', import.meta.url)),
      outDir: join(folder, 'child'),
      target: 'node20',
      rollupOptions: { output: { entryFileNames: 'main.mjs' } },
    },
  });
  await child('make', join(folder, 'store'), join(folder, 'large.tar.gz'));
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

async function measured(...args: [mode: string, folder: string, what: string]): Promise<Figures> {
  const figures = JSON.parse(await child(...args)) as Figures;
  const rise = figures.peakMiB - figures.baselineMiB;
  console.log(
    `${args[0]} ${args[2].replace(folder, '')}: ${rise.toFixed(1)} MiB above ${figures.baselineMiB.toFixed(1)}, adapter ${figures.adapterMiB.toFixed(0)} MiB, content ${figures.contentMiB.toFixed(0)} MiB, ${figures.seconds.toFixed(1)} s`,
  );
  return figures;
}

test.each(['full', 'sampler', 'sampler BF16'])(
  'an archive of the kind %s goes out within 32 MB over the size of the adapter alone',
  async (kind) => {
    const { adapterMiB, baselineMiB, peakMiB } = await measured('export', join(folder, 'store'), kind);
    expect(peakMiB - baselineMiB).toBeLessThan(adapterMiB + 32);
  },
  120_000,
);

test('an import takes about five times the adapter, whatever is in the archive besides', async () => {
  const figures = await measured('import', join(folder, 'other'), join(folder, 'large.tar.gz'));
  expect(figures.peakMiB - figures.baselineMiB).toBeLessThan(6 * figures.adapterMiB);
}, 120_000);
