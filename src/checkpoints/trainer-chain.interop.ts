/**
 * A run that goes from a real Trainer into the store, becomes a checkpoint of our own there, and goes back to a real
 * Trainer and to PEFT (tools/check_trainer.py, tools/check_export.py): nothing is lost on the way.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { contentEntries, describeAdapter } from '../formats/archive-write.ts';
import { bytesSource } from '../formats/bytes.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import { manifestLora } from '../formats/manifest.ts';
import type { Moments } from '../formats/moments.ts';
import { KEY_PREFIX } from '../formats/peft-keys.ts';
import { openSafetensors } from '../formats/safetensors-read.ts';
import { stateEntries } from '../formats/state-files.ts';
import { fromStream } from '../formats/streams.ts';
import { testExport } from '../formats/testing-export.ts';
import { testState } from '../formats/testing-state.ts';
import { collect } from '../formats/testing.ts';
import { flattenSettings } from '../run/run-settings.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { openPath, writeFileAtomically } from '../storage/node-fs.ts';
import type { CheckpointRecord } from '../storage/records.ts';
import { exportArchive, exportEntries, type ExportWish } from './export-checkpoint.ts';
import { importCheckpoint } from './import-checkpoint.ts';
import { peek } from './peek.ts';
import { restoreAny, type Restored } from './restore-any.ts';
import { temporaryStore } from './testing-run.ts';
import { saveInto, TEST_SETTINGS } from './testing-stored.ts';

const root = new URL('../../', import.meta.url).pathname;
const model = join(root, 'e2e/fixtures/parity/llama');

let work = '';
let store: CheckpointStore;
let remove: () => Promise<void>;
/** What the Trainer logged of its four steps; the checkpoint is that of the second. */
let log: { step: number; loss: number; learning_rate: number }[];
let theirs: CheckpointRecord;
let ours: CheckpointRecord;
let read: Extract<Restored, { kind: 'hf-trainer' }>;

async function python(tool: string, ...args: string[]): Promise<string> {
  const command = process.env['LORIKEET_PYTHON'];
  if (command === undefined) throw new Error('LORIKEET_PYTHON is not set; npm test sets it.');
  const env = { ...process.env, HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1' };
  return (await promisify(execFile)(command, [join(root, 'tools', tool), ...args], { env })).stdout;
}

/** Rows as the fixture has them; the first token is never a target. */
async function writeRows(path: string): Promise<void> {
  const golden = JSON.parse(await readFile(join(model, 'golden.json'), 'utf8')) as {
    sequences: { inputIds: number[]; labels: number[] }[];
  };
  const rows = golden.sequences.map(({ inputIds, labels }) => ({
    input_ids: inputIds,
    labels: [-100, ...labels.slice(1)],
  }));
  await writeFile(path, JSON.stringify(rows));
}

/** The run as a whole checkpoint of our own, at the step where the Trainer left it. */
async function becomesOurs({ adapter, hf, schedule }: typeof read): Promise<CheckpointRecord> {
  const { betas, eps, weightDecay } = hf.adamw;
  const adamw = { type: 'adamw' as const, betas: [...betas] as [number, number], eps, weightDecay };
  const { step } = hf;
  const data = testState(adapter).data;
  const state = testState(adapter, {
    step,
    epoch: step,
    optimizer: { ...adamw, step, gradClip: 0 },
    moments: hf.moments,
    scheduler: {
      type: schedule.name,
      params: {
        learningRate: hf.peakLearningRate,
        warmupSteps: schedule.warmupSteps,
        totalSteps: schedule.totalSteps,
      },
      position: step,
    },
    rng: { algo: 'philox4x32-10', seed: 11, counters: { step, micro: 0 } },
    data: data === null ? null : { ...data, rows: 2, epoch: step, offset: 0 },
    settings: flattenSettings(TEST_SETTINGS),
    best: null,
    lossTail: [],
    metrics: [],
  });
  const what = testExport();
  const parts = contentEntries({ ...what, adapter, stateFiles: stateEntries(state, adapter) });
  const { base, determinism, run } = what;
  const described = await describeAdapter(adapter, 'F32');
  const manifest = {
    base,
    lora: manifestLora(adapter.settings),
    optimizer: adamw,
    determinism,
    appVersion: run.appVersion,
    ...described,
  };
  const [saved] = await saveInto(store, 'ours', [
    { name: 'two', step, kind: 'full', trigger: 'manual', parts, manifest },
  ]);
  if (saved === undefined) throw new Error('nothing was saved');
  return saved;
}

async function entriesOf(record: CheckpointRecord, kind: ExportWish['kind']): Promise<FileEntry[]> {
  return exportEntries(await store.open(record.id), { kind });
}

async function unpackedTo(folder: string, entries: readonly FileEntry[]): Promise<string> {
  for (const entry of entries) await writeFileAtomically(join(folder, entry.path), entry.chunks());
  return folder;
}

/** The bytes of named moments as they lie in a file of safetensors, against those that were read. */
async function expectSameMoments(file: string, moments: Moments): Promise<void> {
  const found = await openSafetensors(bytesSource(file, Uint8Array.from(await readFile(file))));
  expect(found.list()).toHaveLength(2 * moments.expAvg.length);
  for (const [key, tensors] of [
    ['exp_avg', moments.expAvg],
    ['exp_avg_sq', moments.expAvgSq],
  ] as const) {
    for (const { name, data } of tensors) {
      const bytes = await found.read(`${KEY_PREFIX}${name}.${key}`);
      expect(Buffer.from(data.buffer).equals(bytes), `${name}.${key}`).toBe(true);
    }
  }
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lorikeet-chain-'));
  ({ store, remove } = await temporaryStore());
  await writeRows(join(work, 'rows.json'));
  await python('check_trainer.py', 'train', model, join(model, 'adapter'), join(work, 'rows.json'), work);
  ({ log } = JSON.parse(await readFile(join(work, 'expected.json'), 'utf8')) as { log: typeof log });
  ({ checkpoint: theirs } = await importCheckpoint(store, await openPath(join(work, 'checkpoint-2'))));
  const files = (await store.open(theirs.id)).files();
  const restored = await restoreAny(files, { name: 'cosine', warmupSteps: 2 });
  if (restored.kind !== 'hf-trainer') throw new Error(restored.kind);
  read = restored;
  ours = await becomesOurs(read);
}, 300_000);
afterAll(async () => {
  await remove();
  await rm(work, { recursive: true, force: true });
});

test('what a Trainer wrote is kept to the last bit, and its schedule only where the person says it', async () => {
  const look = await peek(await openPath(join(work, 'checkpoint-2')), null);
  expect(look).toMatchObject({ kind: 'trainer', about: { step: 2, steps: 8 } });
  expect(theirs).toMatchObject({ kind: 'hf-trainer', step: 2, about: null });
  // At the end of a warm-up no rate tells what comes after it.
  const untold = restoreAny((await store.open(theirs.id)).files());
  await expect(untold).rejects.toMatchObject({ code: 'STATE_UNSUPPORTED' });
  await expectSameMoments(join(work, 'moments.safetensors'), read.hf.moments);
  expect(read.hf).toMatchObject({ step: 2, optimizerStep: 2, learningRate: log[2]?.learning_rate });
  for (const entry of await entriesOf(theirs, 'hf-trainer')) {
    const theirBytes = await readFile(join(work, entry.path));
    expect(Buffer.from(await collect(entry.chunks())).equals(theirBytes), entry.path).toBe(true);
  }
});

test('a checkpoint of ours out of it is gone on with by a Trainer as if it had never stopped', async () => {
  const folder = await unpackedTo(join(work, 'back'), await entriesOf(ours, 'hf-trainer'));
  const [out, held] = [join(work, 'out.json'), join(work, 'held.safetensors')];
  const checkpoint = join(folder, 'checkpoint-2');
  const rows = join(work, 'rows.json');
  await python('check_trainer.py', 'resume', model, checkpoint, rows, out, held, '--warmup', '2');
  const resumed = JSON.parse(await readFile(out, 'utf8')) as {
    problems: string[];
    warnings: string[];
    begun: { step: number; learningRate: number; position: number };
    log: typeof log;
  };
  expect(resumed).toMatchObject({ problems: [], warnings: [] });
  expect(resumed.begun).toMatchObject({ step: 2, position: 2, learningRate: log[2]?.learning_rate });
  await expectSameMoments(held, read.hf.moments);
  expect(resumed.log.map(({ step }) => step)).toEqual([3, 4]);
  for (const { step, loss } of resumed.log) {
    expect(Math.abs(loss - (log[step - 1]?.loss ?? NaN)), `loss of step ${step}`).toBeLessThan(1e-6);
  }
});

test.each(['full', 'sampler'] as const)(
  'the archive of the kind %s loads in PEFT without a warning',
  async (kind) => {
    const archive = join(work, `${kind}.tar.gz`);
    await writeFileAtomically(archive, fromStream(exportArchive(await entriesOf(ours, kind))));
    const out = join(work, `${kind}.json`);
    await python('check_export.py', archive, model, out);
    const verdict = JSON.parse(await readFile(out, 'utf8')) as {
      ok: boolean;
      problems: string[];
      warnings: unknown[];
      entries: string[];
    };
    expect(verdict).toMatchObject({ ok: true, problems: [], warnings: [] });
    expect(verdict.entries[0]).toBe('checkpoint.json');
    expect(verdict.entries.some((path) => path.startsWith('state/'))).toBe(kind === 'full');
  },
);
