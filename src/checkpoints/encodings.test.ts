import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tarOfEntries } from '../formats/testing-export.ts';
import { codeOf } from '../formats/testing.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import type { CheckpointRecord } from '../storage/records.ts';
import { compareCheckpoints } from './compare.ts';
import { encodeParts } from './encodings.ts';
import { exportEntries } from './export-checkpoint.ts';
import { temporaryStore } from './testing-run.ts';
import { wholeCheckpoint } from './testing-stored.ts';
import { beginRun, type OpenedRun } from './training-run.ts';

let store: CheckpointStore;
let folder: string;
let remove: () => Promise<void>;
let opened: OpenedRun;
let base: CheckpointRecord;
let delta: CheckpointRecord;

beforeAll(async () => {
  ({ store, folder, remove } = await temporaryStore());
  opened = await beginRun(store, { name: 'pirates' });
  base = (await opened.writer.save(await wholeCheckpoint({ name: 'base' }))).checkpoint;
  delta = await saveDelta('near', 1e-7);
});
afterAll(() => remove());

async function saveDelta(name: string, shift: number): Promise<CheckpointRecord> {
  const input = await wholeCheckpoint({ name }, shift);
  const stored = await encodeParts(input.parts, await store.open(base.id));
  return (await opened.writer.save({ ...input, ...stored })).checkpoint;
}

describe('a checkpoint that is stored as a difference', () => {
  test('says what it rests on and the ratio that was reached, and takes less room', () => {
    expect(delta.delta).toMatchObject({ baseId: base.id });
    expect(delta.delta?.measuredRatio).toBeGreaterThan(1);
    const bytesOf = (record: CheckpointRecord) =>
      record.parts
        .filter(({ path }) => path === 'adapter_model.safetensors')
        .flatMap(({ chunks }) => chunks)
        .reduce((sum, { size }) => sum + size, 0);
    expect(bytesOf(delta)).toBeLessThan(bytesOf(base));
    expect(delta.kind).toBe('full');
  });

  test('is exported whole: the same bytes as if it had been stored whole', async () => {
    const input = await wholeCheckpoint({ name: 'whole' }, 1e-7);
    const whole = (await opened.writer.save(input)).checkpoint;
    const files = async ({ id }: CheckpointRecord) => {
      const entries = await exportEntries(await store.open(id), { kind: 'full' });
      return tarOfEntries(entries.filter(({ path }) => path !== 'checkpoint.json'));
    };
    expect(await files(delta)).toEqual(await files(whole));
  });

  test('is compared by what it holds', async () => {
    const [a, b] = [await store.open(base.id), await store.open(delta.id)];
    const { total, onlyA, onlyB, settings } = await compareCheckpoints(a.files(), b.files());
    expect({ onlyA, onlyB, settings }).toEqual({ onlyA: [], onlyB: [], settings: [] });
    expect(total.cosine).toBeCloseTo(1, 6);
    expect(total.difference).toBeGreaterThan(0);
    expect((await compareCheckpoints(a.files(), a.files())).total.difference).toBe(0);
  });

  test('keeps its base from being deleted, also by force', async () => {
    expect(await codeOf(() => store.remove([base.id], { force: true }))).toBe('CHECKPOINT_PROTECTED');
  });

  test('is never the base of another', async () => {
    const input = await wholeCheckpoint({ name: 'deeper' }, 2e-7);
    expect(await codeOf(async () => encodeParts(input.parts, await store.open(delta.id)))).toBe(
      'DELTA_INVALID',
    );
  });

  test('is found damaged by name when its own bytes or those of its base changed', async () => {
    const weights = base.parts.find(({ path }) => path === 'adapter_model.safetensors')?.sha256 ?? '';
    const all = await readdir(folder, { recursive: true });
    const path = join(folder, all.find((name) => name.endsWith(weights)) ?? '');
    const bytes = await readFile(path);
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    await writeFile(path, bytes);
    const reading = async () =>
      tarOfEntries(await exportEntries(await store.open(delta.id), { kind: 'full' }));
    expect(await codeOf(reading)).toBe('CHECKPOINT_DAMAGED');
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    await writeFile(path, bytes);
    expect(await codeOf(reading)).toBe('no error');
  });
});

test('what would not be smaller is stored as it is', async () => {
  const input = await wholeCheckpoint({ name: 'far' });
  const noise = input.parts.map((part) =>
    part.path === 'adapter_model.safetensors'
      ? { ...part, chunks: () => [crypto.getRandomValues(new Uint8Array(part.size))] }
      : part,
  );
  const { parts, delta: info } = await encodeParts(noise, await store.open(base.id));
  expect(info).toBe(null);
  expect(parts.find(({ path }) => path === 'adapter_model.safetensors')?.stored).toBe(undefined);
});
