import { describe, expect, it } from 'vitest';
import { optimizerDict } from './hf-optimizer.ts';
import { llamaPaths, testAdapter } from './testing-adapter.ts';
import {
  adapter,
  codeAfter,
  codeWith,
  exported,
  filesOf,
  groupOf,
  member,
  pt,
  read,
  rootDict,
  stateOf,
} from './testing-hf.ts';
import { codeOf } from './testing.ts';
import {
  dict,
  floatTensor,
  tuple,
  type TorchDict,
  type TorchTensor,
  type TorchValue,
} from './torch-values.ts';

const INVALID = 'STATE_INVALID';
const INCOMPLETE = 'STATE_INCOMPLETE';
const UNSUPPORTED = 'STATE_UNSUPPORTED';

const setGroups = (key: string, value: TorchValue) => (root: TorchDict) => {
  for (const index of [0, 1]) groupOf(root, index).set(key, value);
};

describe('105: optimizer.pt that does not fit', () => {
  it('is refused for its groups', async () => {
    const changed = (change: (groups: TorchValue[]) => TorchValue) =>
      codeAfter((root) => {
        const groups = root.get('param_groups');
        root.set('param_groups', change(Array.isArray(groups) ? groups : []));
      });
    expect(await changed((groups) => groups)).toBe('no error');
    expect(await changed((groups) => groups.slice(0, 1))).toBe(UNSUPPORTED);
    expect(await changed((groups) => [...groups, dict([['params', []]])])).toBe(UNSUPPORTED);
    expect(await changed(() => null)).toBe(INVALID);
    expect(await changed(([first = null]) => [first, 1n])).toBe(INVALID);
    const params = (ids: TorchValue) => codeAfter((root) => groupOf(root, 0).set('params', ids));
    const all = adapter.tensors.map((_, i) => BigInt(i));
    expect(await params(all)).toBe('no error');
    expect(await params(all.slice(1))).toBe(INVALID);
    expect(await params(all.slice(0, -1))).toBe(INVALID);
    expect(await params([...all, 12n])).toBe(INVALID);
    expect(await params(all.map(() => 0n))).toBe(INVALID);
    expect(await params(all.toReversed())).toBe(INVALID);
    expect(await params(all.map(String))).toBe(INVALID);
    expect(await params(all.map(Number))).toBe(INVALID);
    expect(await params(null)).toBe(INVALID);
    const split = await codeAfter((root) => {
      groupOf(root, 0).set('params', all.slice(0, 4));
      groupOf(root, 1).set('params', all.slice(4));
    });
    expect(split).toBe(UNSUPPORTED);
  });

  it('is refused for missing or wrong state', async () => {
    const state = (change: (entry: TorchDict) => void) => codeAfter((root) => change(stateOf(root, 3n)));
    const shape = adapter.tensors[3]?.shape ?? [1, 1];
    const tensor = (of: readonly number[], fill = 0) =>
      floatTensor(of, new Float32Array(of.reduce((a, b) => a * b, 1)).fill(fill));
    expect(await state((entry) => entry.delete('exp_avg'))).toBe(INCOMPLETE);
    expect(await state((entry) => entry.delete('exp_avg_sq'))).toBe(UNSUPPORTED);
    expect(await state((entry) => entry.delete('step'))).toBe(INVALID);
    expect(await state((entry) => entry.set('exp_avg', tensor(shape.toReversed())))).toBe(INVALID);
    expect(await state((entry) => entry.set('exp_avg', tensor([shape[0] * shape[1]])))).toBe(INVALID);
    expect(await state((entry) => entry.set('exp_avg', 1))).toBe(INCOMPLETE);
    expect(await state((entry) => entry.set('exp_avg', tensor(shape, NaN)))).toBe(INVALID);
    expect(await state((entry) => entry.set('exp_avg', tensor(shape, -1)))).toBe('no error');
    expect(await state((entry) => entry.set('exp_avg_sq', tensor(shape, -1)))).toBe(INVALID);
    const bytes: TorchTensor = {
      kind: 'tensor',
      dtype: 'U8',
      shape,
      bytes: () => new Uint8Array(shape[0] * shape[1]),
    };
    expect(await state((entry) => entry.set('exp_avg', bytes))).toBe(UNSUPPORTED);
    const half: TorchTensor = {
      kind: 'tensor',
      dtype: 'BF16',
      shape,
      bytes: () => new Uint8Array(2 * shape[0] * shape[1]),
    };
    expect(await state((entry) => entry.set('exp_avg', half))).toBe('no error');
    for (const step of [
      10n,
      true,
      10,
      floatTensor([], Float32Array.of(Infinity)),
      floatTensor([], Float32Array.of(9)),
      floatTensor([], Float32Array.of(9.5)),
      floatTensor([], Float32Array.of(-1)),
      floatTensor([1], Float32Array.of(10)),
    ]) {
      expect(await state((entry) => entry.set('step', step))).toBe(INVALID);
    }
    expect(await codeAfter((root) => member(root, 'state').delete(3n))).toBe(INCOMPLETE);
    expect(await codeAfter((root) => member(root, 'state').set(99n, stateOf(root, 3n)))).toBe(INVALID);
    expect(await codeAfter((root) => root.set('state', []))).toBe(INVALID);
    expect(await codeWith({ 'optimizer.pt': await pt('optimizer.pt', []) })).toBe(INVALID);
    const larger = testAdapter({}, llamaPaths(3));
    expect(await codeOf(async () => read(await filesOf(), larger))).toBe(INVALID);
  });

  it('names other optimizers', async () => {
    const message = async (change: (root: TorchDict) => void) => {
      const root = rootDict();
      change(root);
      const files = await filesOf();
      files.set('optimizer.pt', await pt('optimizer.pt', root));
      return read(files).catch((error: Error) => error.message);
    };
    const replaced =
      (...keys: string[]) =>
      (root: TorchDict) => {
        const entry = stateOf(root, 0n);
        entry.clear();
        for (const key of keys) entry.set(key, floatTensor([], Float32Array.of(1)));
      };
    for (const [keys, name] of [
      [['step', 'state1', 'state2', 'qmap1'], '8-bit Adam'],
      [['momentum_buffer'], 'SGD'],
      [['step', 'exp_avg_sq_row', 'exp_avg_sq_col'], 'Adafactor'],
      [['exp_avg'], 'Lion'],
      [['step', 'exp_avg', 'exp_avg_sq', 'max_exp_avg_sq'], 'AMSGrad'],
      [['step', 'square_avg'], 'RMSprop'],
      [['step', 'sum'], 'Adagrad'],
      [['step', 'prodigy_d'], 'prodigy_d'],
    ] as const) {
      expect(await message(replaced(...keys))).toContain(name);
    }
    expect(await message(setGroups('amsgrad', true))).toContain('AMSGrad');
    expect(await message(setGroups('maximize', true))).toContain('maximises');
    expect(await message(setGroups('decoupled_weight_decay', false))).toContain('Adam,');
    expect(await message(setGroups('betas', 0.9))).toContain('betas');
    expect(await message((root) => groupOf(root, 0).delete('lr'))).toContain('lr');
  });

  it('takes keys of later versions of PyTorch, and Adam without decay, which is the same', async () => {
    expect(await codeAfter(setGroups('new_in_torch_2_20', null))).toBe('no error');
    expect(await codeAfter(setGroups('betas', [0.9, 0.95]))).toBe('no error');
    expect(await codeAfter((root) => groupOf(root, 0).delete('decoupled_weight_decay'))).toBe('no error');
    const plain = await codeAfter((root) => {
      setGroups('decoupled_weight_decay', false)(root);
      groupOf(root, 0).set('weight_decay', 0);
    });
    expect(plain).toBe('no error');
    expect(await codeAfter(setGroups('betas', tuple(0.9, 1)))).toBe(UNSUPPORTED);
    expect(await codeAfter(setGroups('eps', NaN))).toBe(INVALID);
  });
});

describe('106: a permutation of parameters of one shape', () => {
  const peftName = (name: string) => `base_model.model.${name.replace('.weight', '.default.weight')}`;

  it('is put right where the file has names', async () => {
    const { moments } = exported();
    const order = adapter.tensors.map((_, i) => i).toReversed();
    const pick = <T>(list: readonly T[]): T[] => order.flatMap((i) => list[i] ?? []);
    const root = optimizerDict({
      step: 10,
      adamw: exported().adamw,
      learningRate: 5e-4,
      peakLearningRate: 1e-3,
      moments: { expAvg: pick(moments.expAvg), expAvgSq: pick(moments.expAvgSq) },
    });
    groupOf(root, 0).set(
      'param_names',
      pick(adapter.tensors).map(({ name }) => peftName(name)),
    );
    groupOf(root, 1).set('param_names', []);
    const files = (await filesOf()).set('optimizer.pt', await pt('optimizer.pt', root));
    const back = await read(files);
    expect(back.moments).toEqual(moments);
    expect(back.notes).toEqual([]);
    // Without the names the same file is another state: of the same shapes where they agree, or refused.
    groupOf(root, 0).delete('param_names');
    groupOf(root, 1).delete('param_names');
    files.set('optimizer.pt', await pt('optimizer.pt', root));
    expect(await codeOf(() => read(files))).toBe(INVALID);
  });

  it('is warned about where there are none, unless the order is known', async () => {
    const files = await filesOf();
    expect((await read(files)).notes.join()).toContain('no names');
    expect((await read(files, adapter, { ordered: true })).notes).toEqual([]);
    const one = testAdapter({}, { 'model.layers.0.mlp.down_proj': [12, 8] });
    expect((await read(await filesOf(exported({}, one)), one)).notes).toEqual([]);
  });

  it('names must be those of the adapter', async () => {
    const names = adapter.tensors.map(({ name }) => peftName(name));
    const code = (list: TorchValue) => codeAfter((root) => groupOf(root, 0).set('param_names', list));
    expect(await code(names)).toBe('no error');
    expect(await code(names.slice(1))).toBe(INVALID);
    expect(await code(names.map(() => names[0] ?? ''))).toBe(INVALID);
    expect(await code(names.map((name) => `${name}x`))).toBe(INVALID);
    expect(await code(names.map(() => 1n))).toBe(INVALID);
    const half = await codeAfter((root) => {
      groupOf(root, 0).set('params', [0n]);
      groupOf(root, 0).set('param_names', names.slice(0, 1));
      groupOf(root, 1).set(
        'params',
        adapter.tensors.slice(1).map((_, i) => BigInt(i + 1)),
      );
      groupOf(root, 1).set('weight_decay', 0.01);
    });
    expect(half).toBe(INVALID);
  });

  it('groups that train differently are refused, though their names would fit', async () => {
    const names = adapter.tensors.map(({ name }) => peftName(name));
    const split = (lr: number) =>
      codeAfter((root) => {
        groupOf(root, 0).set(
          'params',
          names.slice(0, 4).map((_, i) => BigInt(i)),
        );
        groupOf(root, 0).set('param_names', names.slice(0, 4));
        groupOf(root, 1).set(
          'params',
          names.slice(4).map((_, i) => BigInt(i + 4)),
        );
        groupOf(root, 1).set('param_names', names.slice(4));
        groupOf(root, 1).set('weight_decay', 0.01);
        groupOf(root, 1).set('lr', lr);
      });
    expect(await split(5e-4)).toBe('no error');
    expect(await split(8e-3)).toBe(UNSUPPORTED);
  });
});
