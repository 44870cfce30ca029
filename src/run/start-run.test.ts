import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  DEFAULT_FINETUNE,
  DEFAULT_GENERATE,
  finetune,
  Generator,
  sessionTrainer,
  type BaseModel,
} from '../engine/index.ts';
import { testDevice, useGpu } from '../engine/testing/gpu.ts';
import { readAdapter, type AdapterRead } from '../formats/archive-read.ts';
import { memoryFileSet } from '../formats/file-set.ts';
import { answer } from './answer.ts';
import { exportRun, type ExportOptions } from './export-run.ts';
import { loadBase } from './load-base.ts';
import { startRun, type LoraRequest, type Run } from './start-run.ts';
import { CONTEXT, demoRows, NOW, openTiny } from './testing.ts';

const model = await openTiny();
const data = demoRows(model, 'pirate.jsonl', 8);
const training = { ...DEFAULT_FINETUNE, batchSize: 4, steps: 2, learningRate: 1e-3 };
const lora: LoraRequest = { rank: 4, alpha: 8, dropout: 0, rslora: false, targets: 'all-linear' };

useGpu();
let base: BaseModel;
const progress: [number, number][] = [];
beforeAll(async () => {
  base = await loadBase(model, testDevice(), (done, total) => progress.push([done, total]));
});
afterAll(() => base.dispose());

const exportOptions = (seconds: number): ExportOptions => ({
  dtype: 'F32',
  now: new Date(NOW.getTime() + seconds * 1000),
  randomness: new Uint8Array(20).fill(seconds),
  appVersion: '0.0.0',
  device: 'test',
  metrics: null,
  evalLoss: null,
  name: 'step-2',
});

async function exported(
  run: Run,
  seconds: number,
): Promise<{ bytes: Map<string, Uint8Array<ArrayBuffer>>; read: AdapterRead }> {
  const result = await finetune(sessionTrainer(run.session), data, training, { onStep: () => undefined });
  const metrics = result.metrics.at(-1) ?? null;
  const entries = await exportRun(run, model, { ...exportOptions(seconds), metrics });
  const bytes = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const entry of entries) {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of entry.chunks()) chunks.push(chunk);
    bytes.set(entry.path, new Uint8Array(await new Blob(chunks).arrayBuffer()));
  }
  return { bytes, read: await readAdapter(memoryFileSet('export', bytes)) };
}

test('loading counts the bytes of the weights', () => {
  expect(progress.at(-1)).toEqual([model.weightBytes, model.weightBytes]);
});

describe('a run', () => {
  test('is exported as a PEFT folder that is read back, the same for the same seed', async () => {
    const first = await startRun(base, model, data, { lora, training, ...CONTEXT });
    expect(first.steps).toBe(2);
    expect(first.trainableParameters).toBeGreaterThan(10_000);
    expect(first.memory.total).toBe(base.pool.bytes);
    const a = await exported(first, 0);
    first.session.dispose();
    const second = await startRun(base, model, data, { lora, training, ...CONTEXT });
    const b = await exported(second, 1);
    second.session.dispose();

    expect([...a.bytes.keys()]).toEqual([
      'checkpoint.json',
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'chat_template.jinja',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(a.read.adapter.settings).toMatchObject({ rank: 4, alpha: 8 });
    expect(a.read.adapter.settings.targetModules).toHaveLength(7);
    expect(a.read.manifest).toMatchObject({ step: 2, name: 'step-2', base: { id: 'lorikeet-tiny' } });
    expect(Object.keys(a.read.manifest?.metrics ?? {}).sort()).toEqual(['epoch', 'gradNorm', 'loss', 'lr']);
    const trained = a.read.adapter.tensors.filter(({ name }) => name.endsWith('lora_B.weight'));
    expect(trained.every(({ data: values }) => values.some((value) => value !== 0))).toBe(true);

    const [, ...others] = [...a.bytes.keys()];
    for (const path of others) expect(b.bytes.get(path), path).toEqual(a.bytes.get(path));
    const { id, runId, createdAt, sha256Self, ...rest } = a.read.manifest ?? {};
    expect(b.read.manifest).toMatchObject(rest);
    expect([id, runId, createdAt, sha256Self]).not.toContain(undefined);
  });

  test('goes on from an adapter with its settings, and the trained adapter answers', async () => {
    const first = await startRun(base, model, data, { lora, training, ...CONTEXT });
    const { read } = await exported(first, 0);
    first.session.dispose();
    const run = await startRun(base, model, data, { lora: { adapter: read.adapter }, training, ...CONTEXT });
    expect(run.settings).toEqual(read.adapter.settings);
    const { tensors } = await run.session.adapter();
    expect(tensors.map(({ name }) => name)).toEqual(read.adapter.tensors.map(({ name }) => name));
    expect(tensors[1]?.data).toEqual(read.adapter.tensors[1]?.data);

    const generator = await Generator.create(base, run.session.state, 64);
    const ask = async (stopTexts: string[], adapterScale: number): Promise<string> => {
      const options = { ...DEFAULT_GENERATE, maxTokens: 24, stopTexts, adapterScale };
      let text = '';
      for await (const piece of answer(generator, model, 'What does the fox eat?', options))
        text += piece.text;
      return text;
    };
    const whole = await ask([], 1);
    expect(whole.length).toBeGreaterThan(10);
    expect(whole).not.toContain('<|im_end|>');
    const stop = whole.slice(4, 8);
    expect(await ask([stop], 1)).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(await ask([], 0)).not.toBe('');
    generator.dispose();
    run.session.dispose();
  });

  test('that has run away in its last step is not exported', async () => {
    const run = await startRun(base, model, data, { lora, training, ...CONTEXT });
    const wild = { ...training, steps: 1, learningRate: 1e9 };
    await finetune(sessionTrainer(run.session), data, wild, { onStep: () => undefined });
    await expect(exportRun(run, model, exportOptions(0))).rejects.toMatchObject({ code: 'LOSS_NOT_FINITE' });
    run.session.dispose();
  });

  test.each([
    ['a rank of nothing', { ...lora, rank: 0 }, training, 'OPTION_INVALID'],
    ['a layer that the model has not', { ...lora, targets: ['c_attn'] }, training, 'OPTION_INVALID'],
    ['a dropout of everything', { ...lora, dropout: 1 }, training, 'OPTION_INVALID'],
    ['no steps', lora, { ...training, steps: 0 }, 'OPTION_INVALID'],
  ])('refuses %s and leaves nothing on the GPU', async (_name, wrong, settings, code) => {
    const before = base.pool.bytes;
    await expect(
      startRun(base, model, data, { lora: wrong, training: settings, ...CONTEXT }),
    ).rejects.toMatchObject({
      code,
    });
    expect(base.pool.bytes).toBe(before);
  });
});
