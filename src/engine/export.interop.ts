/**
 * Exports against the real PEFT (tools/check_export.py): trained by the engine, loaded by `PeftModel.from_pretrained`
 * without a warning, the same logits; saved again by PEFT and loaded by us, still the same.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Adapter } from '../formats/adapter.ts';
import { archiveEntries, toTarGz } from '../formats/archive-write.ts';
import { bytesSource } from '../formats/bytes.ts';
import { readPeftFolder } from '../formats/import-layout.ts';
import { openSafetensors } from '../formats/safetensors-read.ts';
import { safetensorsEntry } from '../formats/safetensors-write.ts';
import { folderFileSet, writeFileAtomically } from '../storage/node-fs.ts';
import { Generator } from './generate/generator.ts';
import { loadBaseModel, type BaseModel } from './model/base-model.ts';
import { parseModelConfig } from './model/config.ts';
import { testDevice, useGpu } from './testing/gpu.ts';
import { packExamples } from './train/batcher.ts';
import { AdapterState } from './train/adapter-state.ts';
import { TrainingSession } from './train/session.ts';
import { DEFAULT_FINETUNE } from './train/types.ts';

useGpu();

const run = promisify(execFile);
const root = new URL('../../', import.meta.url).pathname;
let work = '';

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lorikeet-interop-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

interface Sequence {
  inputIds: number[];
  labels: number[];
}

interface Verdict {
  ok: boolean;
  problems: string[];
  entries: string[];
  warnings: unknown[];
  logitsMaxAbsDiff: number;
  effect: number;
}

/** Logits of every position of every sequence, one behind another. */
async function allLogits(
  base: BaseModel,
  state: AdapterState,
  sequences: readonly Sequence[],
): Promise<Float32Array<ArrayBuffer>> {
  const generator = await Generator.create(base, state, 64);
  const rows: Float32Array[] = [];
  for (const { inputIds } of sequences) {
    for (let end = 1; end <= inputIds.length; end++)
      rows.push(await generator.logits(inputIds.slice(0, end)));
  }
  generator.dispose();
  const flat = new Float32Array(rows.length * base.config.vocabSize);
  rows.forEach((row, index) => flat.set(row, index * base.config.vocabSize));
  return flat;
}

function exportOf(adapter: Adapter, modelId: string): Parameters<typeof archiveEntries>[0] {
  const id = '01JD0000000000000000000000';
  return {
    adapter,
    base: { id: modelId, revision: null, configSha256: '0'.repeat(64), tokenizerSha256: '0'.repeat(64) },
    run: {
      id,
      runId: id,
      parentId: null,
      name: 'final',
      step: 3,
      createdAt: '2026-11-22T00:00:00.000Z',
      appVersion: '0.1.0',
    },
    optimizer: { type: 'adamw', betas: [0.9, 0.95], eps: 1e-12, weightDecay: 0 },
    metrics: {},
    determinism: { adapter: 'test', shaderHash: '0'.repeat(64), dtype: 'F32' },
    dtype: 'F32',
    fanInFanOut: modelId.startsWith('gpt2'),
    tokenizerFiles: new Map(),
    card: { dataName: 'two sequences', facts: [['Steps', '3']] },
  };
}

async function judge(archive: string, model: string, dir: string): Promise<Verdict> {
  const python = process.env['LORIKEET_PYTHON'];
  if (python === undefined) throw new Error('LORIKEET_PYTHON is not set; npm test sets it.');
  const paths = [
    '--sequences',
    join(dir, 'sequences.json'),
    '--logits',
    join(dir, 'logits.safetensors'),
    '--resave',
    join(dir, 'resaved'),
  ];
  const env = { ...process.env, HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1' };
  const script = join(root, 'tools/check_export.py');
  // The verdict is read from the file: exit status 1 only repeats `ok`.
  await run(python, [script, archive, model, join(dir, 'out.json'), ...paths], { env }).catch(
    (error: unknown) => error,
  );
  return JSON.parse(await readFile(join(dir, 'out.json'), 'utf8')) as Verdict;
}

for (const name of [
  'llama',
  'llama-linear',
  'llama-untied',
  'llama-bf16',
  'mistral',
  'qwen2',
  'qwen3',
  'gpt2',
  'gpt2-f16',
]) {
  test(`${name}: PEFT loads what was trained here and computes the same`, async () => {
    const dir = await mkdtemp(join(work, `${name}-`));
    const model = join(root, 'e2e/fixtures/parity', name);
    const { sequences } = JSON.parse(await readFile(join(model, 'golden.json'), 'utf8')) as {
      sequences: Sequence[];
    };
    const { adapter } = await readPeftFolder(await folderFileSet(join(model, 'adapter')));
    const bytes = Uint8Array.from(await readFile(join(model, 'model.safetensors')));
    const base = await loadBaseModel(testDevice(), {
      config: parseModelConfig(JSON.parse(await readFile(join(model, 'config.json'), 'utf8'))),
      tensors: await openSafetensors(bytesSource('model.safetensors', bytes)),
    });
    const start = { tensors: adapter.tensors };
    const session = await TrainingSession.create(base, {
      settings: adapter.settings,
      start,
      maxTokens: 64,
      evaluate: false,
    });
    const packed = packExamples(sequences, 1 / 28);
    for (let step = 1; step <= 3; step++) {
      await session.forwardBackward(packed, { seed: 0, step, micro: 0 });
      await session.optimStep(step, { ...DEFAULT_FINETUNE, learningRate: 1e-3 });
    }
    const trained: Adapter = { ...(await session.adapter()), baseModel: name };
    const logits = await allLogits(base, session.state, sequences);

    const archive = join(dir, 'adapter.tar.gz');
    await writeFileAtomically(archive, toTarGz(await archiveEntries(exportOf(trained, name))));
    await writeFile(join(dir, 'sequences.json'), JSON.stringify(sequences.map(({ inputIds }) => inputIds)));
    const shape = [logits.length / base.config.vocabSize, base.config.vocabSize];
    const entry = safetensorsEntry('logits', [
      { name: 'logits', dtype: 'F32', shape, bytes: () => new Uint8Array(logits.buffer) },
    ]);
    await writeFileAtomically(join(dir, 'logits.safetensors'), entry.chunks());
    const verdict = await judge(archive, model, dir);
    expect(verdict.problems).toEqual([]);
    expect(verdict.warnings).toEqual([]);
    expect(verdict.ok).toBe(true);
    expect(verdict.entries[0]).toBe('checkpoint.json');
    expect(verdict.logitsMaxAbsDiff).toBeLessThan(1e-3);
    expect(verdict.effect).toBeGreaterThan(1e-2);

    const again = await readPeftFolder(await folderFileSet(join(dir, 'resaved')));
    const state = new AdapterState(base.pool, base.config, again.adapter.settings, {
      tensors: again.adapter.tensors,
    });
    expect(await allLogits(base, state, sequences)).toEqual(logits);
    base.dispose();
  });
}
