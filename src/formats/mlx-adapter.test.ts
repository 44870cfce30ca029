import { describe, expect, it } from 'vitest';
import type { Adapter } from './adapter.ts';
import { readAdapter } from './archive-read.ts';
import { bytesSource } from './bytes.ts';
import { memoryFileSet } from './file-set.ts';
import type { Chunk } from './streams.ts';
import { llamaPaths, testAdapter } from './testing-adapter.ts';
import { tarOf } from './testing-tar.ts';
import { codeOf } from './testing.ts';

const INVALID = 'ADAPTER_INVALID';
const UNSUPPORTED = 'ADAPTER_UNSUPPORTED';
const adapter = testAdapter({ alpha: 40, dropout: 0.05 }, llamaPaths(2));
const utf8 = (text: string): Chunk => new TextEncoder().encode(text);

interface MlxTensor {
  name: string;
  shape: readonly number[];
  data: Float32Array;
  dtype?: string;
}

/** The tensors as MLX has them: both factors transposed, names in small letters. */
function mlxTensors(of: Adapter): MlxTensor[] {
  return of.tensors.map(({ name, shape: [rows, columns], data }) => ({
    name: name
      .replace('.lora_A.weight', '.lora_a')
      .replace('.lora_B.weight', '.lora_b')
      .replace('transformer.h.', 'model.h.'),
    shape: [columns, rows],
    data: Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)] ?? NaN),
  }));
}

/** A file as MLX writes it: metadata null, header without padding, tensors in no order. */
function mlxFile(tensors: readonly MlxTensor[]): Chunk {
  const header: Record<string, unknown> = { __metadata__: null };
  let at = 0;
  for (const { name, shape, data, dtype = 'F32' } of tensors) {
    const size = dtype === 'F32' ? data.byteLength : data.byteLength / 2;
    header[name] = { dtype, shape, data_offsets: [at, at + size] };
    at += size;
  }
  let json = JSON.stringify(header);
  if (utf8(json).byteLength % 8 === 0) json += ' ';
  const start = 8 + utf8(json).byteLength;
  const file = new Uint8Array(start + at);
  new DataView(file.buffer).setBigUint64(0, BigInt(start - 8), true);
  file.set(utf8(json), 8);
  at = start;
  for (const { data, dtype = 'F32' } of tensors) {
    const bytes = new Uint8Array(data.buffer).slice(0, dtype === 'F32' ? undefined : data.byteLength / 2);
    file.set(bytes, at);
    at += bytes.byteLength;
  }
  return file;
}

const mlxConfig = (changes: object = {}, parameters: object = {}): string =>
  JSON.stringify({
    adapter_path: 'adapters',
    fine_tune_type: 'lora',
    num_layers: -1,
    lora_parameters: { rank: 2, scale: 20.0, dropout: 0.05, keys: null, ...parameters },
    model: 'acme/tiny-llama',
    ...changes,
  });

const files = (tensors: Chunk, config = mlxConfig()) =>
  new Map([
    ['adapter_config.json', utf8(config)],
    ['adapters.safetensors', tensors],
  ]);
const read = (tensors: Chunk, config?: string) => readAdapter(memoryFileSet('mlx', files(tensors, config)));
const code = (tensors: Chunk, config?: string) => codeOf(() => read(tensors, config));

describe('an adapter of MLX', () => {
  it('becomes the adapter that PEFT would have: names, orientation, alpha = scale * rank', async () => {
    const found = await read(mlxFile(mlxTensors(adapter)));
    expect(found.adapter).toEqual(adapter);
    expect(found).toMatchObject({
      weights: 'adapters.safetensors',
      warnings: [],
      fanInFanOut: false,
      dtypes: ['F32'],
    });
    const tar = tarOf(...Array.from(files(mlxFile(mlxTensors(adapter))), ([name, body]) => ({ name, body })));
    expect((await readAdapter(bytesSource('a.tar', tar))).adapter).toEqual(adapter);
  });

  it('computes the same change of the weights, scale * (a b)', async () => {
    const tensors = mlxTensors(adapter);
    const { adapter: found } = await read(mlxFile(tensors));
    const [a, b] = tensors;
    const [A, B] = found.tensors;
    const rank = 2;
    const [inSize = 0] = a?.shape ?? [];
    const outSize = b?.shape[1] ?? 0;
    for (let i = 0; i < inSize; i++) {
      for (let o = 0; o < outSize; o++) {
        let mlx = 0;
        let peft = 0;
        for (let r = 0; r < rank; r++) {
          mlx += 20 * (a?.data[i * rank + r] ?? NaN) * (b?.data[r * outSize + o] ?? NaN);
          peft +=
            (found.settings.alpha / rank) * (B?.data[o * rank + r] ?? NaN) * (A?.data[r * inSize + i] ?? NaN);
        }
        expect(peft).toBeCloseTo(mlx, 12);
      }
    }
  });

  it('of the last layers alone keeps the list of what is there', async () => {
    const last = adapter.tensors.filter(({ name }) => name.startsWith('model.layers.1.'));
    const { adapter: found } = await read(
      mlxFile(mlxTensors({ ...adapter, tensors: last })),
      mlxConfig({ num_layers: 1 }),
    );
    expect(found.tensors).toEqual(last);
    expect(found.settings.targetPaths).toEqual([
      'model.layers.1.mlp.down_proj',
      'model.layers.1.self_attn.q_proj',
      'model.layers.1.self_attn.v_proj',
    ]);
  });

  it('of GPT-2 gets the names of HuggingFace', async () => {
    const gpt2 = testAdapter(
      { alpha: 40, dropout: 0.05 },
      { 'transformer.h.0.attn.c_attn': [8, 24], 'transformer.h.1.attn.c_attn': [8, 24] },
    );
    const found = await read(mlxFile(mlxTensors(gpt2)));
    expect(found.adapter).toEqual(gpt2);
    expect(found.fanInFanOut).toBe(true);
  });

  it('is refused for what is not plain LoRA', async () => {
    const tensors = mlxFile(mlxTensors(adapter));
    expect(await code(tensors, mlxConfig({ fine_tune_type: 'dora' }))).toBe(UNSUPPORTED);
    expect(await code(tensors, mlxConfig({ fine_tune_type: 'full' }))).toBe(UNSUPPORTED);
    expect(await code(tensors, mlxConfig({ fine_tune_type: 7 }))).toBe(UNSUPPORTED);
    expect(await code(tensors, mlxConfig({ lora_parameters: null }))).toBe(INVALID);
    for (const wrong of [
      { rank: 0 },
      { rank: 2.5 },
      { rank: 3 },
      { rank: '2' },
      { scale: 0 },
      { scale: null },
      { scale: -1 },
      { dropout: 1 },
    ]) {
      expect(await code(tensors, mlxConfig({}, wrong)), JSON.stringify(wrong)).toBe(INVALID);
    }
    expect(await code(tensors, '{"peft_type":"LORA"}')).toBe(INVALID);
    const odd = async (change: (tensors: MlxTensor[]) => MlxTensor[]) =>
      code(mlxFile(change(mlxTensors(adapter))));
    const renamed = (to: string) => (list: MlxTensor[]) =>
      list.map((one, i) => (i === 0 ? { ...one, name: to } : one));
    expect(await odd((list) => list)).toBe('no error');
    expect(await odd((list) => list.slice(1))).toBe(INVALID);
    expect(await odd(() => [])).toBe(INVALID);
    expect(await odd(renamed('model.layers.0.self_attn.q_proj.m'))).toBe(UNSUPPORTED);
    expect(await odd(renamed('model.layers.0.self_attn.q_proj.weight'))).toBe(UNSUPPORTED);
    expect(await odd(renamed('language_model.model.layers.0.self_attn.q_proj.lora_a'))).toBe(UNSUPPORTED);
    expect(await odd(renamed('model.layers.00.self_attn.q_proj.lora_a'))).toBe(INVALID);
    expect(await odd(renamed('model.layers.99999.self_attn.q_proj.lora_a'))).toBe(INVALID);
    expect(await odd((list) => list.map((one) => ({ ...one, shape: one.shape.toReversed() })))).toBe(INVALID);
    expect(await odd((list) => list.map((one, i) => (i === 0 ? { ...one, dtype: 'I16' } : one)))).toBe(
      UNSUPPORTED,
    );
    expect(await odd((list) => list.map((one, i) => (i === 0 ? { ...one, dtype: 'BF16' } : one)))).toBe(
      'no error',
    );
    const gap = (list: MlxTensor[]) => list.filter(({ name }) => !name.startsWith('model.layers.0.mlp'));
    expect(await odd(gap)).toBe(INVALID);
  });

  it('flags values that are not finite', async () => {
    const tensors = mlxTensors(adapter);
    tensors[0]?.data.fill(NaN, 0, 2);
    expect((await read(mlxFile(tensors))).warnings).toEqual([
      'model.layers.0.self_attn.q_proj.lora_a holds 2 values that are NaN or infinite.',
    ]);
  });

  it('that was cut off anywhere is refused', async () => {
    const bytes = mlxFile(mlxTensors(adapter));
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(await code(bytes.slice(0, length))).toBe('SAFETENSORS_INVALID');
    }
  });
});
