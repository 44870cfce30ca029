import { describe, expect, test } from 'vitest';
import type { TensorInfo, TensorSource } from '../formats/tensors.ts';
import { hashedTensors } from './hash-weights.ts';

function source(tensors: Record<string, number[]>, dtype = 'F32'): TensorSource {
  const infos = new Map<string, TensorInfo>(
    Object.entries(tensors).map(([name, bytes]) => [
      name,
      { name, dtype, shape: [bytes.length], byteLength: bytes.length },
    ]),
  );
  return {
    list: () => [...infos.values()],
    get: (name) => infos.get(name),
    read: (name) => Promise.resolve(Uint8Array.from(tensors[name] ?? [])),
  };
}

async function hashOf(tensors: TensorSource, names: readonly string[]): Promise<string> {
  const hashed = hashedTensors(tensors);
  for (const name of names) await hashed.tensors.read(name);
  return hashed.sha256();
}

describe('the hash of weights', () => {
  const whole = source({ a: [1, 2], b: [3] });

  test('does not depend on the order, on reading twice, or on what is not read', async () => {
    const hash = await hashOf(whole, ['a', 'b']);
    expect(await hashOf(whole, ['b', 'a', 'b'])).toBe(hash);
    expect(await hashOf(source({ a: [1, 2], b: [3], c: [9] }), ['a', 'b'])).toBe(hash);
  });

  test('changes with a byte, a name, a dtype or a tensor', async () => {
    const hashes = [
      await hashOf(whole, ['a', 'b']),
      await hashOf(source({ a: [1, 3], b: [3] }), ['a', 'b']),
      await hashOf(source({ a: [1, 2], c: [3] }), ['a', 'c']),
      await hashOf(source({ a: [1, 2], b: [3] }, 'BF16'), ['a', 'b']),
      await hashOf(whole, ['a']),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  test('hands the bytes on unchanged', async () => {
    expect(await hashedTensors(whole).tensors.read('a')).toEqual(Uint8Array.of(1, 2));
  });
});
