import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { testDevice, useGpu } from '../engine/testing/gpu.ts';
import { memoryFileSet } from '../formats/file-set.ts';
import { safetensorsEntry } from '../formats/safetensors-write.ts';
import type { TensorInfo, TensorSource } from '../formats/tensors.ts';
import { collect } from '../formats/testing.ts';
import { folderFileSet } from '../storage/node-fs.ts';
import { hashedTensors } from './hash-weights.ts';
import { loadBase } from './load-base.ts';
import { openModel, type OpenModel } from './open-model.ts';
import { NOW, openTiny } from './testing.ts';

const TINY = fileURLToPath(new URL('../../public/models/lorikeet-tiny', import.meta.url));

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

  test('changes with a byte, a name, a dtype, a shape or a tensor', async () => {
    const shaped = source({ a: [1, 2], b: [3] });
    const twoByOne: TensorSource = {
      ...shaped,
      get: (name) => {
        const info = shaped.get(name);
        return info === undefined ? undefined : { ...info, shape: [...info.shape, 1] };
      },
    };
    const hashes = [
      await hashOf(whole, ['a', 'b']),
      await hashOf(source({ a: [1, 3], b: [3] }), ['a', 'b']),
      await hashOf(source({ a: [1, 2], c: [3] }), ['a', 'c']),
      await hashOf(source({ a: [1, 2], b: [3] }, 'BF16'), ['a', 'b']),
      await hashOf(twoByOne, ['a', 'b']),
      await hashOf(whole, ['a']),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  test('hands the bytes on unchanged, also while others are still being hashed', async () => {
    const hashed = hashedTensors(whole);
    expect(await Promise.all([hashed.tensors.read('a'), hashed.tensors.read('b')])).toEqual([
      Uint8Array.of(1, 2),
      Uint8Array.of(3),
    ]);
    const failing: TensorSource = { ...whole, read: () => Promise.reject(new Error('gone')) };
    await expect(hashedTensors(failing).tensors.read('a')).rejects.toThrow('gone');
  });

  test('holds few tensors back: reading waits for the hashes of what came before', async () => {
    let most = 0;
    let open = 0;
    const slow = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> => {
      open += bytes.byteLength;
      most = Math.max(most, open);
      await new Promise((resolve) => setTimeout(resolve, 1));
      open -= bytes.byteLength;
      return String(bytes[0]);
    };
    const many = source(Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`t${String(i)}`, [i, 0]])));
    const hashed = hashedTensors(many, { digest: slow, maxWaitingBytes: 6 });
    for (const { name } of many.list()) await hashed.tensors.read(name);
    await hashed.sha256();
    expect(most).toBeGreaterThan(2);
    expect(most).toBeLessThanOrEqual(8);
  });
});

/** The same by another road: straight from the file's bytes, with Node's own hash. */
function hashOfFile(): string {
  const file = readFileSync(`${TINY}/model.safetensors`);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const lines = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [start, end],
        },
      ]) => {
        const bytes = file.subarray(8 + length + start, 8 + length + end);
        const digest = createHash('sha256').update(bytes).digest('hex');
        return `${name} ${dtype} [${shape.join(',')}] ${digest}`;
      },
    );
  return createHash('sha256').update(lines.sort().join('\n')).digest('hex');
}

/** The embedded model with its weights in two files. */
async function shardedTiny(
  change: (name: string, bytes: Uint8Array<ArrayBuffer>) => void,
): Promise<OpenModel> {
  const { tensors } = await openTiny();
  const infos = tensors.list();
  const shards = [infos.filter((_, i) => i % 3 === 0), infos.filter((_, i) => i % 3 !== 0)];
  const folder = await folderFileSet(TINY);
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of folder.names().filter((other) => other !== 'model.safetensors')) {
    files.set(name, Uint8Array.from(readFileSync(`${TINY}/${name}`)));
  }
  const weightMap: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const file = `model-0000${String(i + 1)}-of-00002.safetensors`;
    const contents = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const { name } of shard) {
      weightMap[name] = file;
      const bytes = await tensors.read(name);
      change(name, bytes);
      contents.set(name, bytes);
    }
    const toWrite = shard.map((info) => ({
      ...info,
      bytes: () => contents.get(info.name) ?? new Uint8Array(),
    }));
    files.set(file, await collect(safetensorsEntry(file, toWrite).chunks()));
  }
  const index = JSON.stringify({ metadata: {}, weight_map: weightMap });
  files.set('model.safetensors.index.json', new TextEncoder().encode(index));
  return openModel(memoryFileSet('sharded', files), 'lorikeet-tiny', NOW);
}

describe('a model that is loaded', () => {
  useGpu();
  let whole: OpenModel;
  beforeAll(async () => {
    whole = await openTiny();
    (await loadBase(whole, testDevice())).dispose();
  });

  test('knows the hash of its weights, which another program computes as well', () => {
    expect(whole.hashes.weightsSha256).toBe(hashOfFile());
  });

  test('has the same hash from two files, and another one with one bit changed', async () => {
    const same = await shardedTiny(() => undefined);
    (await loadBase(same, testDevice())).dispose();
    expect(same.hashes.weightsSha256).toBe(whole.hashes.weightsSha256);
    const changed = await shardedTiny((name, bytes) => {
      if (name === 'model.norm.weight') bytes[0] = (bytes[0] ?? 0) ^ 1;
    });
    (await loadBase(changed, testDevice())).dispose();
    expect(changed.hashes.weightsSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(changed.hashes.weightsSha256).not.toBe(whole.hashes.weightsSha256);
  });
});
