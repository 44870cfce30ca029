/**
 * HuggingFace Trainer checkpoints against the real Trainer (tools/check_trainer.py): it goes on from what was trained
 * here, and we go on from what it trained; the same rate, the moments to the last bit, the same losses.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TokenizedExample } from '../data/types.ts';
import type { Adapter } from '../formats/adapter.ts';
import { readAdapterFolder } from '../formats/archive-read.ts';
import { archiveEntries } from '../formats/archive-write.ts';
import { bytesSource } from '../formats/bytes.ts';
import { subFolder } from '../formats/file-set.ts';
import { hfTrainerEntries, readHfTrainer } from '../formats/hf-trainer.ts';
import { readPeftFolder } from '../formats/import-layout.ts';
import type { Moments } from '../formats/moments.ts';
import { KEY_PREFIX } from '../formats/peft-keys.ts';
import { openSafetensors } from '../formats/safetensors-read.ts';
import { torchFileEntry } from '../formats/torch-file.ts';
import { dict, floatTensor, tuple } from '../formats/torch-values.ts';
import { folderFileSet, writeFileAtomically } from '../storage/node-fs.ts';
import { loadBaseModel, type BaseModel } from './model/base-model.ts';
import { parseModelConfig } from './model/config.ts';
import { testDevice, useGpu } from './testing/gpu.ts';
import { packExamples, targetCount } from './train/batcher.ts';
import { scheduleFactor } from './train/schedule.ts';
import { TrainingSession } from './train/session.ts';
import { DEFAULT_FINETUNE, type AdamParams } from './train/types.ts';

useGpu();

const run = promisify(execFile);
const root = new URL('../../', import.meta.url).pathname;
let work = '';

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lorikeet-trainer-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

const PEAK = 1e-3;
const SCHEDULE = { name: 'cosine', warmupSteps: 2, totalSteps: 8 } as const;
/** Trainer's own defaults, but for the weight decay. */
const adamw = { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 } as const;

async function python(...args: string[]): Promise<string> {
  const command = process.env['LORIKEET_PYTHON'];
  if (command === undefined) throw new Error('LORIKEET_PYTHON is not set; npm test sets it.');
  const env = { ...process.env, HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1' };
  return (await run(command, args, { env })).stdout;
}

const checkTrainer = (...args: string[]) => python(join(root, 'tools/check_trainer.py'), ...args);

/** The rows of a fixture; the first token is never a target. */
async function rowsOf(model: string): Promise<TokenizedExample[]> {
  const golden = JSON.parse(await readFile(join(model, 'golden.json'), 'utf8')) as {
    sequences: { inputIds: number[]; labels: number[] }[];
  };
  return golden.sequences.map(({ inputIds, labels }) => ({ inputIds, labels: [-100, ...labels.slice(1)] }));
}

async function writeRows(path: string, rows: readonly TokenizedExample[]): Promise<void> {
  await writeFile(
    path,
    JSON.stringify(rows.map(({ inputIds, labels }) => ({ input_ids: inputIds, labels }))),
  );
}

async function openModel(model: string): Promise<BaseModel> {
  const bytes = Uint8Array.from(await readFile(join(model, 'model.safetensors')));
  return loadBaseModel(testDevice(), {
    config: parseModelConfig(JSON.parse(await readFile(join(model, 'config.json'), 'utf8'))),
    tensors: await openSafetensors(bytesSource('model.safetensors', bytes)),
  });
}

const createSession = (base: BaseModel, adapter: Adapter, moments?: Moments) =>
  TrainingSession.create(base, {
    settings: adapter.settings,
    start: { tensors: adapter.tensors, ...(moments === undefined ? {} : { moments }) },
    maxTokens: 64,
    evaluate: false,
  });

/** One step over all rows at a rate; resolves with the loss before it. */
async function trainStep(
  session: TrainingSession,
  rows: readonly TokenizedExample[],
  step: number,
): Promise<number> {
  const weight = 1 / rows.reduce((sum, row) => sum + targetCount(row), 0);
  const logprobs = await session.forwardBackward(packExamples(rows, weight), { seed: 0, step, micro: 0 });
  const params: AdamParams = {
    ...DEFAULT_FINETUNE,
    learningRate: PEAK * scheduleFactor(SCHEDULE, step - 1),
    beta1: adamw.betas[0],
    beta2: adamw.betas[1],
    eps: adamw.eps,
    weightDecay: adamw.weightDecay,
  };
  await session.optimStep(step, params);
  return logprobs.reduce((loss, logprob) => loss - logprob * weight, 0);
}

/** The bytes of named moments as they lie in a file of safetensors, against ours. */
async function expectSameMoments(file: string, moments: Moments): Promise<void> {
  const theirs = await openSafetensors(bytesSource(file, Uint8Array.from(await readFile(file))));
  expect(theirs.list()).toHaveLength(2 * moments.expAvg.length);
  for (const [key, tensors] of [
    ['exp_avg', moments.expAvg],
    ['exp_avg_sq', moments.expAvgSq],
  ] as const) {
    for (const { name, data } of tensors) {
      const bytes = await theirs.read(`${KEY_PREFIX}${name}.${key}`);
      expect(Buffer.from(data.buffer).equals(bytes), `${name}.${key}`).toBe(true);
    }
  }
}

interface LogEntry {
  step: number;
  loss: number;
  learning_rate: number;
  grad_norm: number;
}

interface Resumed {
  ok: boolean;
  problems: string[];
  warnings: string[];
  begun: Record<'step' | 'learningRate' | 'position' | 'maxSteps', number> & {
    optimizerSteps: number[];
    groupRates: number[];
  };
  log: LogEntry[];
  names: string[];
  orderBySafetensors: string[];
}

for (const name of ['llama', 'gpt2']) {
  test(`${name}: a Trainer goes on from our checkpoint`, async () => {
    const dir = await mkdtemp(join(work, `${name}-ours-`));
    const model = join(root, 'e2e/fixtures/parity', name);
    const rows = await rowsOf(model);
    await writeRows(join(dir, 'rows.json'), rows);
    const base = await openModel(model);
    const { adapter: start } = await readPeftFolder(await folderFileSet(join(model, 'adapter')));
    const session = await createSession(base, start);
    const losses = [NaN];
    for (let step = 1; step <= 3; step++) losses.push(await trainStep(session, rows, step));
    const adapter: Adapter = { ...(await session.adapter()), baseModel: name };
    const moments = await session.moments();
    losses.push(await trainStep(session, rows, 4), await trainStep(session, rows, 5));
    base.dispose();

    const learningRate = PEAK * scheduleFactor(SCHEDULE, 3);
    const state = {
      adapter,
      moments,
      step: 3,
      optimizerStep: 3,
      maxSteps: SCHEDULE.totalSteps,
      epoch: 3,
      epochs: 8,
      batchSize: rows.length,
      tokens: 0,
      adamw,
      peakLearningRate: PEAK,
      learningRate,
      log: [1, 2, 3].map((step) => ({ step, loss: losses[step] ?? NaN })),
      bestMetric: null,
      bestStep: null,
    };
    const id = '01JD0000000000000000000000';
    const entries = await archiveEntries({
      adapter,
      base: { id: name, revision: null, configSha256: '0'.repeat(64), tokenizerSha256: '0'.repeat(64) },
      run: {
        id,
        runId: id,
        parentId: null,
        name: 'three',
        step: 3,
        createdAt: '2026-11-22T00:00:00.000Z',
        appVersion: '0.1.0',
      },
      optimizer: { type: 'adamw', betas: [...adamw.betas], eps: adamw.eps, weightDecay: adamw.weightDecay },
      metrics: {},
      determinism: { adapter: 'test', shaderHash: '0'.repeat(64), dtype: 'F32' },
      dtype: 'F32',
      fanInFanOut: name === 'gpt2',
      tokenizerFiles: new Map(),
      card: { dataName: 'two sequences', facts: [] },
      trainerFiles: hfTrainerEntries(state),
    });
    for (const entry of entries) await writeFileAtomically(join(dir, entry.path), entry.chunks());
    const checkpoint = join(dir, 'checkpoint-3');
    const [rowsFile, out, held] = ['rows.json', 'out.json', 'moments.safetensors'].map((file) =>
      join(dir, file),
    );
    await checkTrainer('resume', model, checkpoint, rowsFile!, out!, held!, '--warmup', '2').catch(
      (error: unknown) => error,
    );
    const resumed = JSON.parse(await readFile(out!, 'utf8')) as Resumed;
    expect(resumed.problems).toEqual([]);
    expect(resumed.warnings).toEqual([]);
    expect(resumed.begun).toEqual({
      step: 3,
      optimizerSteps: [3],
      learningRate,
      groupRates: [learningRate, learningRate],
      position: 3,
      maxSteps: 8,
    });
    await expectSameMoments(held!, moments);
    expect(resumed.names).toEqual(adapter.tensors.map((tensor) => KEY_PREFIX + tensor.name));
    // The file's own order is another one for Llama: mapping by it would exchange tensors of one shape.
    expect(String(resumed.orderBySafetensors) === String(resumed.names)).toBe(name === 'gpt2');
    expect(resumed.log.map(({ step }) => step)).toEqual([4, 5]);
    for (const { step, loss, grad_norm: norm } of resumed.log) {
      expect(Math.abs(loss - losses[step]!), `loss of step ${step}`).toBeLessThan(1e-4);
      expect(Number.isFinite(norm)).toBe(true);
    }

    const folder = await readAdapterFolder(await folderFileSet(checkpoint));
    expect(folder.manifest?.kind).toBe('hf-trainer');
    const { adapter: _, ...facts } = state;
    const back = await readHfTrainer(folder.contents, folder.adapter, { ordered: folder.manifest !== null });
    expect(back).toEqual({ ...facts, adamw: { ...adamw }, notes: [] });
  });

  test(`${name}: we go on from a Trainer's checkpoint`, async () => {
    const dir = await mkdtemp(join(work, `${name}-theirs-`));
    const model = join(root, 'e2e/fixtures/parity', name);
    const rows = await rowsOf(model);
    await writeRows(join(dir, 'rows.json'), rows);
    await checkTrainer('train', model, join(model, 'adapter'), join(dir, 'rows.json'), dir);
    const { log, names } = JSON.parse(await readFile(join(dir, 'expected.json'), 'utf8')) as {
      log: LogEntry[];
      names: string[];
    };

    const files = subFolder(await folderFileSet(dir), 'checkpoint-2');
    const { adapter, warnings } = await readAdapterFolder(files);
    expect(warnings).toEqual([]);
    expect(adapter.tensors.map((tensor) => KEY_PREFIX + tensor.name)).toEqual(names);
    const read = await readHfTrainer(files, adapter);
    await expectSameMoments(join(dir, 'moments.safetensors'), read.moments);
    expect(read).toMatchObject({ step: 2, optimizerStep: 2, maxSteps: 8, adamw, peakLearningRate: PEAK });
    expect(read.learningRate).toBe(log[2]?.learning_rate);
    expect(read.learningRate).toBe(PEAK * scheduleFactor(SCHEDULE, 2));
    expect(read.notes.join(' ')).toMatch(
      /rng_state\.pth is ignored.*training_args\.bin is ignored.*no names/,
    );

    const base = await openModel(model);
    const session = await createSession(base, adapter, read.moments);
    for (const step of [3, 4]) {
      const loss = await trainStep(session, rows, step);
      expect(Math.abs(loss - log[step - 1]!.loss), `loss of step ${step}`).toBeLessThan(1e-4);
    }
    base.dispose();
  });
}

test('torch.load(weights_only=True) reads every kind of value, also in ZIP64 form', async () => {
  const value = dict([
    ['ints', [0n, 255n, 65536n, -1n, 2n ** 40n]],
    ['floats', tuple(0.1, 1e-12)],
    ['others', [null, true, false, 'ü', [], dict([])]],
    [7n, floatTensor([2, 3], Float32Array.of(1, 2, 3, 4, 5, 6))],
    ['scalar', floatTensor([], Float32Array.of(3))],
    ['empty', floatTensor([0, 3], new Float32Array(0))],
  ]);
  const code = [
    'import sys, torch',
    'v = torch.load(sys.argv[1], weights_only=True)',
    "print(repr((v['ints'], v['floats'], v['others'], v[7].tolist(), v['scalar'].item(), tuple(v['empty'].shape))))",
  ].join('\n');
  for (const [file, options] of [
    ['plain.pt', {}],
    ['large.pt', { zip64From: 1 }],
  ] as const) {
    const path = join(work, file);
    await writeFileAtomically(path, torchFileEntry(file, value, options).chunks());
    expect((await python('-c', code, path)).trim()).toBe(
      "([0, 255, 65536, -1, 1099511627776], (0.1, 1e-12), [None, True, False, 'ü', [], {}], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 3.0, (0, 3))",
    );
  }
});
