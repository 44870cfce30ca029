/** Base models are loaded once, stay a while after their last user, and make room for another. */
import { expect, test } from 'vitest';
import { useGpu } from '../engine/testing/gpu.ts';
import { createBaseLibrary } from './bases.ts';
import { OTHER_ID, testHost, TINY_ID } from './testing-local.ts';
import { temporaryStore } from '../checkpoints/testing-run.ts';

useGpu();

test('are shared, kept for the next user, and freed by time, by another model and at the end', async () => {
  const { store, remove } = await temporaryStore();
  const library = createBaseLibrary(testHost(store), 0.2);
  const [first, second] = await Promise.all([library.open(TINY_ID), library.open(TINY_ID)]);
  expect(second.base).toBe(first.base);
  const { pool } = first.base;
  first.release();
  first.release();
  expect(pool.bytes).toBeGreaterThan(0);
  second.release();
  const third = await library.open(TINY_ID);
  expect(third.base).toBe(first.base);
  third.release();
  await expect.poll(() => pool.bytes).toBe(0);
  const again = await library.open(TINY_ID);
  expect(again.base).not.toBe(first.base);
  again.release();
  const other = await library.open(OTHER_ID);
  await expect.poll(() => again.base.pool.bytes).toBe(0);
  library.close();
  expect(other.base.pool.bytes).toBeGreaterThan(0);
  other.release();
  await expect.poll(() => other.base.pool.bytes).toBe(0);
  await expect(library.open('nowhere')).rejects.toThrow('There is no model nowhere');
  await remove();
});
