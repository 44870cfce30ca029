/**
 * Exports or imports one checkpoint in a process of its own and says how far its memory rose; a bundle of it runs in
 * Node. `make FOLDER ARCHIVE` writes a store and an archive; `export FOLDER 'KIND DTYPE'` and `import FOLDER ARCHIVE` are
 * measured. Prints {"adapterMiB", "contentMiB", "baselineMiB", "peakMiB", "seconds"}.
 */
import { readFileSync, writeSync } from 'node:fs';
import type { Adapter, AdapterTensor } from '../formats/adapter.ts';
import { stateEntries } from '../formats/state-files.ts';
import { testAdapter } from '../formats/testing-adapter.ts';
import { testState } from '../formats/testing-state.ts';
import { contentEntries, describeAdapter } from '../formats/archive-write.ts';
import { testExport } from '../formats/testing-export.ts';
import { manifestLora } from '../formats/manifest.ts';
import { fromStream } from '../formats/streams.ts';
import { flattenSettings } from '../run/run-settings.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { openFolderBackend } from '../storage/folder-backend.ts';
import { fileSource, writeFileAtomically } from '../storage/node-fs.ts';
import { openCheckpointStore } from '../storage/open-store.ts';
import { exportArchive, exportEntries, type ExportWish } from './export-checkpoint.ts';
import { importCheckpoint } from './import-checkpoint.ts';
import { saveInto, TEST_SETTINGS } from './testing-stored.ts';

const MIB = 2 ** 20;
const MODULES = 8;
const SIDE = 24_576;
const RANK = 64;
const ADAPTER_BYTES = MODULES * 2 * SIDE * RANK * 4;

/** The most memory that this process ever had, so that nothing between two looks is missed. */
function highWater(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  // On Linux maxRSS counts the program that started this one as well.
  const kib = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  if (kib === undefined) throw new Error('/proc/self/status has no VmHWM');
  return Number(kib) * 1024;
}

/** Like the adapter, with one value per tensor: what gzip does with them costs time and no memory. */
function filled(tensors: readonly Pick<AdapterTensor, 'name' | 'shape'>[], start: number): AdapterTensor[] {
  return tensors.map(({ name, shape }, i) => ({
    name,
    shape,
    data: new Float32Array(shape[0] * shape[1]).fill(start * (i + 1)),
  }));
}

function largeAdapter(): Adapter {
  const names = Array.from({ length: MODULES }, (_, i) => `model.layers.${String(i)}.self_attn.q_proj`);
  const tensors = names.flatMap((path): Pick<AdapterTensor, 'name' | 'shape'>[] => [
    { name: `${path}.lora_A.weight`, shape: [RANK, SIDE] },
    { name: `${path}.lora_B.weight`, shape: [SIDE, RANK] },
  ]);
  const { settings, baseModel } = testAdapter({ rank: RANK, targetModules: ['q_proj'] });
  return { settings, baseModel, tensors: filled(tensors, 1) };
}

async function make(store: CheckpointStore, archive: string): Promise<void> {
  const adapter = largeAdapter();
  const moments = { expAvg: filled(adapter.tensors, 1e-3), expAvgSq: filled(adapter.tensors, 1e-6) };
  const { base, optimizer, determinism, run } = testExport();
  const settings = flattenSettings(TEST_SETTINGS);
  const stateFiles = stateEntries(testState(adapter, { settings, moments, metrics: [] }), adapter);
  const lora = manifestLora(adapter.settings);
  const described = await describeAdapter(adapter, 'F32');
  const [saved] = await saveInto(store, 'large', [
    {
      name: 'step-000010',
      step: 10,
      kind: 'full',
      trigger: 'steps',
      parts: contentEntries({ ...testExport(), adapter, stateFiles }),
      manifest: { base, lora, optimizer, determinism, appVersion: run.appVersion, ...described },
    },
  ]);
  const entries = await exportEntries(await store.open(saved?.id ?? ''), { kind: 'full' });
  await writeFileAtomically(archive, fromStream(exportArchive(entries)));
}

async function exported(store: CheckpointStore, what: string): Promise<number> {
  const [kind, dtype] = what.split(' ') as [ExportWish['kind'], ExportWish['dtype']];
  const [record] = (await store.list()).items;
  const entries = await exportEntries(await store.open(record?.id ?? ''), {
    kind,
    ...(dtype === undefined ? {} : { dtype }),
  });
  for await (const chunk of fromStream(exportArchive(entries))) void chunk;
  return entries.reduce((sum, { size }) => sum + size, 0);
}

const [mode = '', folder = '', what = ''] = process.argv.slice(2);
const store = await openCheckpointStore(await openFolderBackend(folder));
if (mode === 'make') await make(store, what);
else {
  globalThis.gc?.();
  const baseline = process.memoryUsage().rss;
  const start = performance.now();
  const content =
    mode === 'export'
      ? await exported(store, what)
      : (await importCheckpoint(store, await fileSource(what))).checkpoint.size;
  const figures = {
    adapterMiB: ADAPTER_BYTES / MIB,
    contentMiB: content / MIB,
    baselineMiB: baseline / MIB,
    peakMiB: highWater() / MIB,
    seconds: (performance.now() - start) / 1000,
  };
  writeSync(1, JSON.stringify(figures));
}
await store.close();
