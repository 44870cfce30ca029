import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Adapter } from '../formats/adapter.ts';
import { memoryFileSet, type FileSet } from '../formats/file-set.ts';
import { adapterFiles, llamaPaths, testAdapter } from '../formats/testing-adapter.ts';
import { codeOf } from '../formats/testing.ts';
import { flattenSettings } from '../run/run-settings.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { compareCheckpoints } from './compare.ts';
import { temporaryStore } from './testing-run.ts';
import { saveInto, TEST_SETTINGS, wholeCheckpoint } from './testing-stored.ts';

let store: CheckpointStore;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ store, remove } = await temporaryStore());
});
afterAll(() => remove());

const folder = async (adapter: Adapter): Promise<FileSet> => memoryFileSet('a', await adapterFiles(adapter));

/** An adapter with every value changed. */
function changed(change: (value: number) => number): Adapter {
  const adapter = testAdapter();
  for (const tensor of adapter.tensors) tensor.data = tensor.data.map(change);
  return adapter;
}

/** Norms by the textbook, over plain arrays. */
const norm = (values: Iterable<number>): number =>
  Math.sqrt([...values].reduce((sum, value) => sum + value * value, 0));

describe('two checkpoints side by side', () => {
  test('norms, differences and angles, of each tensor and of all', async () => {
    const [one, other] = [testAdapter(), changed((value) => 0.5 * value + 0.25)];
    const { tensors, total, onlyA, onlyB, metrics } = await compareCheckpoints(
      await folder(one),
      await folder(other),
    );
    expect({ onlyA, onlyB, metrics }).toEqual({ onlyA: [], onlyB: [], metrics: [] });
    expect(tensors.map(({ name }) => name)).toEqual(one.tensors.map(({ name }) => name));
    for (const [i, found] of tensors.entries()) {
      const [a, b] = [[...(one.tensors[i]?.data ?? [])], [...(other.tensors[i]?.data ?? [])]];
      expect(found.shape).toEqual(one.tensors[i]?.shape);
      expect(found.normA).toBeCloseTo(norm(a), 12);
      expect(found.normB).toBeCloseTo(norm(b), 12);
      expect(found.difference).toBeCloseTo(norm(a.map((value, k) => value - (b[k] ?? 0))), 12);
      const dot = a.reduce((sum, value, k) => sum + value * (b[k] ?? 0), 0);
      expect(found.cosine).toBeCloseTo(dot / (norm(a) * norm(b)), 12);
    }
    const all = one.tensors.flatMap(({ data }) => [...data]);
    expect(total.normA).toBeCloseTo(norm(all), 12);
  });

  test('the same, the opposite, and nothing', async () => {
    const one = await folder(testAdapter());
    expect((await compareCheckpoints(one, one)).total).toMatchObject({ difference: 0, cosine: 1 });
    const opposite = await compareCheckpoints(one, await folder(changed((value) => -value)));
    expect(opposite.total.cosine).toBe(-1);
    expect(opposite.total.difference).toBeCloseTo(2 * opposite.total.normA, 12);
    const zero = await compareCheckpoints(one, await folder(changed(() => 0)));
    expect(zero.total).toMatchObject({ normB: 0, cosine: null, difference: zero.total.normA });
  });

  test('tensors that only one has, and those of another shape, are named', async () => {
    const smaller = testAdapter({}, llamaPaths(1));
    const found = await compareCheckpoints(await folder(testAdapter()), await folder(smaller));
    expect(found.onlyA).toHaveLength(6);
    expect(found.onlyA.every((name) => name.startsWith('model.layers.1.'))).toBe(true);
    expect(found.onlyB).toEqual([]);
    expect(found.tensors).toHaveLength(6);
    const ranks = await compareCheckpoints(
      await folder(testAdapter()),
      await folder(testAdapter({ rank: 3 })),
    );
    expect(ranks.tensors).toEqual([]);
    expect(ranks.onlyA).toEqual(ranks.onlyB);
    expect(ranks.settings).toEqual([{ name: 'lora.rank', a: '2', b: '3' }]);
    expect(ranks.total).toEqual({ normA: 0, normB: 0, difference: 0, cosine: null });
  });

  test('figures of both, and only those settings that differ', async () => {
    const settings = flattenSettings({
      ...TEST_SETTINGS,
      training: { ...TEST_SETTINGS.training, learningRate: 1e-4, warmupSteps: 5 },
    });
    const [a, b] = await saveInto(store, 'two', [
      await wholeCheckpoint({ name: 'a', metrics: { loss: 1.5, evalLoss: 2 } }),
      await wholeCheckpoint({ name: 'b', metrics: { loss: 1.25, gradNorm: 3 } }, 0.5, { settings }),
    ]);
    const open = async (id = '') => (await store.open(id)).files();
    const found = await compareCheckpoints(await open(a?.id), await open(b?.id));
    expect(found.metrics).toEqual([
      { name: 'evalLoss', a: 2, b: null },
      { name: 'gradNorm', a: null, b: 3 },
      { name: 'loss', a: 1.5, b: 1.25 },
    ]);
    expect(found.settings).toEqual([
      { name: 'training.learningRate', a: '0.003', b: '0.0001' },
      { name: 'training.warmupSteps', a: '2', b: '5' },
    ]);
    expect(structuredClone(found)).toEqual(found);
    // One of ours with one of another program: what only one says is none at the other.
    const foreign = await compareCheckpoints(await open(a?.id), await folder(testAdapter()));
    expect(foreign.settings).toContainEqual({ name: 'training.learningRate', a: '0.003', b: 'none' });
    expect(foreign.total.difference).toBe(0);
  });

  test('what is no adapter is refused', async () => {
    const nothing = memoryFileSet('n', new Map([['a.txt', new Uint8Array(1)]]));
    expect(await codeOf(async () => compareCheckpoints(await folder(testAdapter()), nothing))).toBe(
      'ADAPTER_INVALID',
    );
  });
});
