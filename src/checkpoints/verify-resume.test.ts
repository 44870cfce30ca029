import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BaseModel } from '../engine/index.ts';
import { testDevice, useGpu } from '../engine/testing/gpu.ts';
import { loadBase } from '../run/load-base.ts';
import type { RestoredRun } from '../run/restore.ts';
import { CONTEXT, demoRows, openTiny } from '../run/testing.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { DROPPING_LORA, HARD_TRAINING, temporaryStore } from './testing-run.ts';
import { proveResume, type ResumeProof } from './verify-resume.ts';

const model = await openTiny();
const data = demoRows(model, 'pirate.jsonl', 7);

useGpu();
let base: BaseModel;
let store: CheckpointStore;
let remove: () => Promise<void>;
beforeAll(async () => {
  base = await loadBase(model, testDevice());
  ({ store, remove } = await temporaryStore());
});
afterAll(async () => {
  base.dispose();
  await remove();
});

function prove(tamper?: (restored: RestoredRun) => RestoredRun): Promise<ResumeProof> {
  const request = { lora: DROPPING_LORA, training: HARD_TRAINING, ...CONTEXT };
  const options = { request, before: 2, after: 2, ...(tamper === undefined ? {} : { tamper }) };
  return proveResume(store, base, model, data, options);
}

const zeros = <T extends { data: Float32Array<ArrayBuffer> }>(tensors: readonly T[]): T[] =>
  tensors.map((tensor) => ({ ...tensor, data: new Float32Array(tensor.data.length) }));

describe('the proof of resuming', () => {
  test('holds bit for bit through the store, and leaves nothing behind', async () => {
    const proof = await prove();
    expect(proof).toMatchObject({ equal: true, differences: [], before: 2, after: 2 });
    expect(proof.values).toBeGreaterThan(10_000);
    expect(await store.runs()).toEqual([]);
    expect(await store.sizes()).toMatchObject({ totalBytes: 0 });
  });

  test.each<[string, (restored: RestoredRun) => RestoredRun]>([
    [
      'moments',
      (restored) => {
        const { expAvg, expAvgSq } = restored.state.moments;
        const moments = { expAvg: zeros(expAvg), expAvgSq: zeros(expAvgSq) };
        return { ...restored, state: { ...restored.state, moments } };
      },
    ],
    [
      'data position',
      (restored) => {
        const data = { ...restored.state.data, epoch: 0, offset: 0 };
        return { ...restored, state: { ...restored.state, data } };
      },
    ],
    ['step', (restored) => ({ ...restored, state: { ...restored.state, step: restored.state.step - 1 } })],
  ])('fails without the %s', async (_, tamper) => {
    const proof = await prove(tamper);
    expect(proof.equal).toBe(false);
    expect(proof.differences.length).toBeGreaterThan(0);
  });

  test('refuses to go on with another seed', async () => {
    const tamper = (restored: RestoredRun): RestoredRun => ({
      ...restored,
      settings: { ...restored.settings, training: { ...restored.settings.training, seed: 12 } },
    });
    await expect(prove(tamper)).rejects.toMatchObject({ code: 'OPTION_INVALID' });
    expect(await store.runs()).toEqual([]);
  });
});
