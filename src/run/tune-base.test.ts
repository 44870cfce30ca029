import { expect, test } from 'vitest';
import { GEMM_VARIANTS } from '../engine/ops/gemm.ts';
import type { BaseModel, DeviceInfo } from '../engine/index.ts';
import { KernelCache } from '../engine/gpu/kernels.ts';
import { testDevice, useGpu } from '../engine/testing/gpu.ts';
import { tuneBase } from './tune-base.ts';

useGpu();

const gpu: DeviceInfo = { name: 'A GPU', software: false, maxBufferSize: 0, maxBindingSize: 0, features: [] };

/** What tuning reads of a model: shape, dtype, device and kernels. */
function smallModel(kernels: KernelCache): BaseModel {
  const config = { hiddenSize: 32, intermediateSize: 64 };
  const model = {
    device: testDevice(),
    kernels,
    config,
    weights: { embedding: { dtype: 'BF16' } },
    tuning: { forward: 'naive', backward: 'naive' },
  };
  return model as unknown as BaseModel;
}

function memory(start: Record<string, string> = {}): {
  kept: Map<string, string>;
  get(key: string): Promise<string | null>;
  set(key: string, value: string): Promise<void>;
} {
  const kept = new Map(Object.entries(start));
  return {
    kept,
    get: (key) => Promise.resolve(kept.get(key) ?? null),
    set: (key, value) => {
      kept.set(key, value);
      return Promise.resolve();
    },
  };
}

test('measures once per GPU and shape, then remembers', async () => {
  const kernels = new KernelCache(testDevice());
  const first = smallModel(kernels);
  const place = memory();
  await tuneBase(first, gpu, place);
  expect(Object.keys(GEMM_VARIANTS)).toContain(first.tuning.forward);
  expect(first.tuning.forward).not.toBe('naive');
  expect([...place.kept.keys()]).toEqual(['A GPU BF16 32x64']);

  const chosen = JSON.stringify({ forward: '4x2', backward: '8x2' });
  const second = smallModel(kernels);
  await tuneBase(second, gpu, memory({ 'A GPU BF16 32x64': chosen }));
  expect(second.tuning).toEqual({ forward: '4x2', backward: '8x2' });
});

test('forgets what it cannot read, and leaves software adapters alone', async () => {
  const kernels = new KernelCache(testDevice());
  for (const broken of ['{', '{"forward":"9x9","backward":"8x2"}', 'null']) {
    const model = smallModel(kernels);
    await tuneBase(model, gpu, memory({ 'A GPU BF16 32x64': broken }));
    expect(model.tuning.forward).not.toBe('naive');
    expect(Object.keys(GEMM_VARIANTS)).toContain(model.tuning.forward);
  }
  const software = smallModel(kernels);
  await tuneBase(software, { ...gpu, software: true }, memory());
  expect(software.tuning).toEqual({ forward: 'naive', backward: 'naive' });
});
