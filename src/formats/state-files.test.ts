import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Adapter } from './adapter.ts';
import { readAdapterArchive } from './archive-read.ts';
import { archiveEntries } from './archive-write.ts';
import { bytesSource } from './bytes.ts';
import { memoryFileSet, type FileSet } from './file-set.ts';
import { parseManifest, type Manifest } from './manifest.ts';
import { openSafetensors } from './safetensors-read.ts';
import { safetensorsEntry, type TensorToWrite } from './safetensors-write.ts';
import {
  GRADIENTS_FILE,
  hasState,
  METRICS_FILE,
  OPTIMIZER_FILE,
  readTrainingState,
  stateEntries,
  TRAINER_FILE,
} from './state-files.ts';
import type { Chunk } from './streams.ts';
import { llamaPaths, testAdapter } from './testing-adapter.ts';
import { testExport, tarOfEntries } from './testing-export.ts';
import { fingerprints, testState } from './testing-state.ts';
import { codeOf, collect } from './testing.ts';
import { loopState, type TrainingState } from './training-state.ts';

const adapter = testAdapter({}, llamaPaths(12));
const utf8 = (text: string): Chunk => new TextEncoder().encode(text);
type Files = Map<string, Chunk>;

async function filesOf(state: TrainingState, of: Adapter = adapter): Promise<Files> {
  const files: Files = new Map();
  for (const entry of stateEntries(state, of)) files.set(entry.path, await collect(entry.chunks()));
  return files;
}

const asSet = (files: Files): FileSet => memoryFileSet('ckpt', files);
const read = (files: Files, of: Adapter = adapter, manifest: Manifest | null = null) =>
  readTrainingState(asSet(files), of, manifest);

/** The code of reading the state with one file replaced, or taken away with null. */
async function codeWith(path: string, content: string | Chunk | null): Promise<string> {
  const files = await filesOf(testState(adapter));
  if (content === null) files.delete(path);
  else files.set(path, typeof content === 'string' ? utf8(content) : content);
  return codeOf(() => read(files));
}

/** trainer.json with some members changed; `undefined` takes one away. */
async function codeWithTrainer(changes: Record<string, unknown>): Promise<string> {
  const files = await filesOf(testState(adapter));
  const record = JSON.parse(new TextDecoder().decode(files.get(TRAINER_FILE))) as object;
  return codeWith(TRAINER_FILE, JSON.stringify({ ...record, ...changes }));
}

/** A safetensors file with some tensors (null: taken away) or metadata changed. */
async function changedTensors(
  path: string,
  state: TrainingState,
  changes: Record<string, Partial<TensorToWrite> | null>,
  metadata: Record<string, string> = {},
): Promise<Chunk> {
  const bytes = (await filesOf(state)).get(path) ?? new Uint8Array(0);
  const file = await openSafetensors(bytesSource(path, bytes));
  const tensors: TensorToWrite[] = [];
  for (const { name, dtype, shape } of file.list()) {
    const content = await file.read(name);
    const change = changes[name];
    if (change !== null) tensors.push({ name, dtype, shape, bytes: () => content, ...change });
  }
  return collect(safetensorsEntry(path, tensors, { ...file.metadata, ...metadata }).chunks());
}

const first = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight';
const floats = (...values: number[]): Chunk => new Uint8Array(Float32Array.from(values).buffer);

describe('a training state', () => {
  it('comes back to the last bit, in the order of the adapter', async () => {
    const state = testState(adapter);
    expect(await read(await filesOf(state))).toEqual(state);
    expect((await read(await filesOf(state))).moments.expAvg[60]?.name).toBe(adapter.tensors[60]?.name);
  });

  it('comes back with gradients that were not applied', async () => {
    const rng = { ...testState(adapter).rng, counters: { step: 10, micro: 2 } };
    const state = testState(adapter, { microStep: 2, rng, gradients: fingerprints(adapter, 3) });
    expect([...(await filesOf(state)).keys()]).toEqual([
      GRADIENTS_FILE,
      METRICS_FILE,
      OPTIMIZER_FILE,
      TRAINER_FILE,
    ]);
    expect(await read(await filesOf(state))).toEqual(state);
  });

  it('may say that schedule and data are in other hands, which the training loop refuses', async () => {
    const state = testState(adapter, { scheduler: null, data: null, best: null, metrics: [], lossTail: [] });
    const back = await read(await filesOf(state));
    expect(back).toEqual(state);
    expect(await codeOf(() => loopState(back))).toBe('STATE_INCOMPLETE');
    expect(await codeOf(() => loopState({ ...testState(adapter), data: null }))).toBe('STATE_INCOMPLETE');
    expect(loopState(testState(adapter)).data.offset).toBe(7);
  });

  it('is the same bytes each time', async () => {
    expect(await filesOf(testState(adapter))).toEqual(await filesOf(testState(adapter)));
  });

  it('stands as text in safetensors metadata', async () => {
    const bytes = (await filesOf(testState(adapter))).get(OPTIMIZER_FILE) ?? new Uint8Array(0);
    const { metadata } = await openSafetensors(bytesSource(OPTIMIZER_FILE, bytes));
    expect({ ...metadata }).toEqual({
      format: 'pt',
      type: '"adamw"',
      step: '10',
      betas: '[0.9,0.95]',
      eps: '1e-12',
      weightDecay: '0',
      gradClip: '1',
    });
  });

  it('lies in a full archive and agrees with its manifest', async () => {
    const what = testExport({ adapter });
    const state = testState(adapter);
    const entries = await archiveEntries({ ...what, stateFiles: stateEntries(state, adapter) });
    const archive = await readAdapterArchive(bytesSource('a.tar', await tarOfEntries(entries)), {
      keep: (path) => path.startsWith('state/'),
    });
    expect(hasState(archive.contents.names())).toBe(true);
    expect(await readTrainingState(archive.contents, archive.adapter, archive.manifest)).toEqual(state);
    const manifest = parseManifest(new TextDecoder().decode(await collect(entries[0]?.chunks() ?? [])));
    const code = (changes: Partial<Manifest>) => async () =>
      read(await filesOf(state), adapter, { ...manifest, ...changes });
    expect(await codeOf(code({}))).toBe('no error');
    expect(await codeOf(code({ step: 11 }))).toBe('STATE_INVALID');
    expect(await codeOf(code({ optimizer: { ...manifest.optimizer, weightDecay: 0.1 } }))).toBe(
      'STATE_INVALID',
    );
    expect(hasState(['adapter_config.json'])).toBe(false);
  });
});

describe('what is refused', () => {
  it('names every part that is missing', async () => {
    expect(await codeWith(TRAINER_FILE, null)).toBe('STATE_INCOMPLETE');
    expect(await codeWith(OPTIMIZER_FILE, null)).toBe('STATE_INCOMPLETE');
    const state = testState(adapter);
    const without = async (name: string) =>
      codeWith(OPTIMIZER_FILE, await changedTensors(OPTIMIZER_FILE, state, { [name]: null }));
    expect(await without(`${first}.exp_avg`)).toBe('STATE_INCOMPLETE');
    expect(await without(`${first}.exp_avg_sq`)).toBe('STATE_INCOMPLETE');
    for (const member of [
      'scheduler',
      'rng',
      'data',
      'step',
      'epoch',
      'settings',
      'best',
      'metadata',
      'tokens',
      'metricLines',
      'lossTail',
      'microStep',
      'version',
    ]) {
      expect(await codeWithTrainer({ [member]: undefined }), member).toBe('STATE_INVALID');
    }
  });

  it('holds the moments to the adapter', async () => {
    const state = testState(adapter);
    const code = async (changes: Parameters<typeof changedTensors>[2], metadata?: Record<string, string>) =>
      codeWith(OPTIMIZER_FILE, await changedTensors(OPTIMIZER_FILE, state, changes, metadata));
    const key = `${first}.exp_avg`;
    expect(await code({ [key]: { name: 'other.exp_avg' } })).toBe('STATE_INCOMPLETE');
    expect(await code({ [key]: { shape: [8, 2] } })).toBe('STATE_INVALID');
    expect(await code({ [key]: { shape: [1, 8], bytes: () => new Uint8Array(32) } })).toBe('STATE_INVALID');
    expect(await code({ [key]: { dtype: 'F16', bytes: () => new Uint8Array(32) } })).toBe('STATE_INVALID');
    const odd = floats(NaN, ...Array.from({ length: 15 }, () => 0));
    expect(await code({ [key]: { bytes: () => odd } })).toBe('STATE_INVALID');
    const negative = floats(-1, ...Array.from({ length: 15 }, () => 0));
    expect(await code({ [key]: { bytes: () => negative } })).toBe('no error');
    expect(await code({ [`${first}.exp_avg_sq`]: { bytes: () => negative } })).toBe('STATE_INVALID');
    expect(await code({}, { step: '11' })).toBe('STATE_INVALID');
    expect(await code({}, { type: '"sgd"' })).toBe('STATE_INVALID');
    expect(await code({}, { step: '9' })).toBe('STATE_INVALID');
    expect(await code({}, { step: '10,"x":1' })).toBe('STATE_INVALID');
    expect(await code({}, { amsgrad: 'true' })).toBe('STATE_INVALID');
    const larger = testAdapter({}, llamaPaths(13));
    expect(await codeOf(async () => read(await filesOf(state), larger))).toBe('STATE_INCOMPLETE');
    const smaller = testAdapter({}, llamaPaths(11));
    expect(await codeOf(async () => read(await filesOf(state), smaller))).toBe('STATE_INVALID');
  });

  it('finds contradictions between the parts', async () => {
    const { scheduler, rng, data, best } = testState(adapter);
    for (const changes of [
      { step: 9 },
      { step: 11 },
      { microStep: 1 },
      { microStep: 1, rng: { ...rng, counters: { step: 10, micro: 1 } } },
      { epoch: 3 },
      { scheduler: { ...scheduler, position: 9 } },
      { scheduler: { ...scheduler, params: { ...scheduler?.params, totalSteps: 9 } } },
      { rng: { ...rng, counters: { step: 9, micro: 0 } } },
      { data: { ...data, offset: 13 } },
      { data: { ...data, offset: 8 } },
      { data: { ...data, epoch: 1 } },
      { best: { ...best, step: 11 } },
      { lossTail: [{ step: 11, loss: 1 }] },
      {
        lossTail: [
          { step: 2, loss: 1 },
          { step: 1, loss: 1 },
        ],
      },
    ]) {
      expect(await codeWithTrainer(changes), JSON.stringify(changes)).toMatch(/^STATE_/);
    }
    expect(await codeWithTrainer({})).toBe('no error');
    const stray = await changedTensors(OPTIMIZER_FILE, testState(adapter), {});
    expect(await codeWith(GRADIENTS_FILE, stray)).toMatch(/^STATE_/);
    expect(await codeWith('state/extra.bin', 'x')).toBe('STATE_INVALID');
  });

  it('refuses members of the wrong kind, unknown ones and newer versions', async () => {
    const { scheduler, rng, data } = testState(adapter);
    expect(await codeWithTrainer({ version: 2 })).toBe('FORMAT_NEWER');
    for (const changes of [
      { version: '1' },
      { extra: 1 },
      { step: '10' },
      { step: 10.5 },
      { step: -1 },
      { rng: { ...rng, algo: 'mt19937' } },
      { rng: { ...rng, seed: -1 } },
      { scheduler: { ...scheduler, type: 'polynomial' } },
      { data: { ...data, datasetSha256: 'x' } },
      { data: { ...data, order: 'random' } },
      { metadata: { a: 1 } },
      { settings: { a: [1] } },
    ]) {
      expect(await codeWithTrainer(changes), JSON.stringify(changes)).toBe('STATE_INVALID');
    }
    expect(await codeWith(TRAINER_FILE, '[]')).toBe('STATE_INVALID');
    expect(await codeWith(TRAINER_FILE, '{"step":1,"step":2}')).toBe('STATE_INVALID');
    expect(await codeWith(OPTIMIZER_FILE, 'x')).toBe('SAFETENSORS_INVALID');
    for (const lines of [
      '',
      '{"step":1}',
      '{"step":1}\n\n',
      '{"loss":1}\n',
      '{"step":1,"a":[]}\n',
      '{"step":3}\n{"step":11}\n',
      '{"step":3}\n{"step":2}\n',
      'NaN\n',
    ]) {
      expect(await codeWith(METRICS_FILE, lines), lines).toBe('STATE_INVALID');
    }
    expect(await codeWith(METRICS_FILE, '{"step":3}\n{"step":3}\n')).toBe('no error');
    expect(await codeWith(METRICS_FILE, '{"step":3}\n')).toBe('STATE_INCOMPLETE');
    expect(await codeWith(METRICS_FILE, null)).toBe('STATE_INCOMPLETE');
  });

  it('does not write what it would not read', async () => {
    const write = (changes: Partial<TrainingState>) =>
      codeOf(() => stateEntries(testState(adapter, changes), adapter));
    const { moments } = testState(adapter);
    expect(await write({})).toBe('no error');
    expect(await write({ step: 9 })).toBe('STATE_INVALID');
    expect(await write({ metrics: [{ step: 1, loss: NaN }] })).toBe('STATE_INVALID');
    expect(await write({ tokens: -1 })).toBe('STATE_INVALID');
    expect(await write({ moments: { ...moments, expAvg: moments.expAvg.toReversed() } })).toBe(
      'STATE_INVALID',
    );
    expect(await write({ moments: { ...moments, expAvgSq: moments.expAvgSq.slice(1) } })).toBe(
      'STATE_INVALID',
    );
    const nan = moments.expAvg.map((tensor, i) =>
      i === 5 ? { ...tensor, data: tensor.data.fill(NaN) } : tensor,
    );
    expect(await write({ moments: { ...moments, expAvg: nan } })).toBe('STATE_INVALID');
  });

  it('damage anywhere gives a state or a typed refusal (property)', async () => {
    const small = testAdapter({}, llamaPaths(1));
    const state = testState(small, {
      microStep: 1,
      rng: { algo: 'philox4x32-10', seed: 1, counters: { step: 10, micro: 1 } },
      gradients: fingerprints(small, 3),
    });
    const files = await filesOf(state, small);
    const paths = [...files.keys()];
    // One bit of the version can make it a later one.
    const refusals = ['STATE_INVALID', 'STATE_INCOMPLETE', 'SAFETENSORS_INVALID', 'FORMAT_NEWER'];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...paths),
        fc.nat(),
        fc.nat(7),
        fc.boolean(),
        async (path, place, bit, cut) => {
          const bytes = (files.get(path) ?? new Uint8Array(0)).slice();
          const at = place % (bytes.byteLength - 1);
          bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          const damaged = new Map(files).set(path, cut ? bytes.slice(0, at) : bytes);
          expect(cut ? refusals : [...refusals, 'no error']).toContain(
            await codeOf(() => read(damaged, small)),
          );
        },
      ),
      { numRuns: 1000 },
    );
  });
});
