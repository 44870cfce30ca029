import { expect, it } from 'vitest';
import { CheckpointManager } from './checkpoint-manager.ts';
import { getLastCheckpoint } from './checkpoints-file.ts';
import { jsonl, type TrackerFiles } from './jsonl-tracker.ts';
import { ServiceClient } from './service-client.ts';
import { createBigramBackend } from './testing-bigram-backend.ts';
import { createWarningSink, type LorikeetWarning } from './warnings.ts';

function memoryFiles() {
  const texts = new Map<string, string>();
  const files: TrackerFiles = {
    // Slow, so that lines that were not written in turn would show.
    append: async (path, text) => {
      const before = texts.get(path) ?? '';
      await new Promise((resolve) => setTimeout(resolve, 1));
      texts.set(path, before + text);
    },
    write: async (path, text) => void texts.set(path, text),
  };
  const lines = (name: string): Record<string, unknown>[] =>
    (texts.get(`runs/a/${name}`) ?? '')
      .split('\n')
      .filter(Boolean)
      .map((text) => JSON.parse(text) as Record<string, unknown>);
  return { texts, files, lines };
}

it('writes the files of the cookbooks, each line in its turn', async () => {
  const { texts, files, lines } = memoryFiles();
  const backend = createBigramBackend();
  const service = new ServiceClient({ backend, env: {}, onWarning: () => undefined });
  const client = await service.createLoraTrainingClient('bigram', { rank: 4 });
  const tracker = jsonl({ files, folder: 'runs/a/' });
  await tracker.params?.({ learningRate: 0.1, dataset: 'x' });
  const manager = new CheckpointManager(client, { saveEvery: 2, maxCheckpoints: null, trackers: [tracker] });
  for (let step = 1; step <= 4; step++)
    await manager.maybeSave(step, { metrics: { loss: 1 / step, odd: NaN } });
  await manager.saveFinal(4);
  await expect.poll(() => lines('checkpoints.jsonl').length, { timeout: 20_000 }).toBe(3);
  expect(JSON.parse(texts.get('runs/a/config.json') ?? '')).toEqual({ learningRate: 0.1, dataset: 'x' });
  expect(lines('metrics.jsonl')).toEqual([1, 2, 3, 4].map((step) => ({ step, loss: 1 / step, odd: null })));
  const run = `lorikeet://${client.runId}`;
  expect(lines('checkpoints.jsonl')[0]).toEqual({
    name: 'step-000002',
    batch: 2,
    state_path: `${run}/weights/step-000002`,
    sampler_path: `${run}/sampler_weights/step-000002`,
  });
  const spans = lines('timing_spans.jsonl');
  expect(spans.map(({ name, step }) => [name, step])).toEqual([
    ['save_checkpoint', 2],
    ['save_checkpoint', 4],
    ['save_checkpoint', 4],
  ]);
  for (const { start, end } of spans) expect(Number(end)).toBeGreaterThanOrEqual(Number(start));
  // What is written is what the helpers for that file read.
  const read = { read: async (path: string) => texts.get(path) ?? null, append: files.append };
  expect(
    await getLastCheckpoint(
      read,
      'runs/a',
      createWarningSink(() => undefined),
    ),
  ).toMatchObject({
    name: 'final',
    final: true,
  });
});

it('goes on after a line that could not be written, which is a warning and no failure', async () => {
  const { files, lines } = memoryFiles();
  let full = true;
  const failing: TrackerFiles = {
    ...files,
    append: (path, text) => (full ? Promise.reject(new Error('disk full')) : files.append(path, text)),
  };
  const warnings: LorikeetWarning[] = [];
  const service = new ServiceClient({
    backend: createBigramBackend(),
    env: {},
    onWarning: (w) => warnings.push(w),
  });
  const client = await service.createLoraTrainingClient('bigram', { rank: 4 });
  const tracker = jsonl({ files: failing, folder: 'runs/a' });
  const manager = new CheckpointManager(client, { saveEvery: 0, trackers: [tracker] });
  await manager.maybeSave(1, { metrics: { loss: 1 } });
  await expect.poll(() => warnings.map(({ code }) => code), { timeout: 20_000 }).toEqual(['TRACKER_FAILED']);
  full = false;
  await manager.maybeSave(2, { metrics: { loss: 2 } });
  await expect.poll(() => lines('metrics.jsonl'), { timeout: 20_000 }).toEqual([{ step: 2, loss: 2 }]);
});
