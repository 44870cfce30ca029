import { describe, expect, test } from 'vitest';
import { StudioError } from '../../errors.ts';
import type { AdapterTensor, LoraSettings } from '../../formats/adapter.ts';
import { randomValues } from '../testing/compare.ts';
import { layoutAdapter, packAdapter, resolveTargets, unpackAdapter } from './adapter-layout.ts';
import { parseModelConfig } from './config.ts';

const llama = parseModelConfig({
  architectures: ['LlamaForCausalLM'],
  vocab_size: 199,
  hidden_size: 32,
  intermediate_size: 52,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
});
const gpt2 = parseModelConfig({
  architectures: ['GPT2LMHeadModel'],
  vocab_size: 203,
  n_embd: 36,
  n_head: 3,
  n_layer: 1,
});

const settings: LoraSettings = {
  rank: 5,
  alpha: 10,
  dropout: 0,
  rslora: false,
  targetModules: ['down_proj', 'q_proj'],
  rankPattern: {},
  alphaPattern: {},
};

const Q0 = 'model.layers.0.self_attn.q_proj';
const DOWN0 = 'model.layers.0.mlp.down_proj';
const Q1 = 'model.layers.1.self_attn.q_proj';
const DOWN1 = 'model.layers.1.mlp.down_proj';

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof StudioError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}

describe('resolveTargets', () => {
  test('expands all-linear to every linear layer but the head', () => {
    expect(resolveTargets(llama, 'all-linear')).toEqual([
      'down_proj',
      'gate_proj',
      'k_proj',
      'o_proj',
      'q_proj',
      'up_proj',
      'v_proj',
    ]);
    expect(resolveTargets(gpt2, 'all-linear')).toEqual(['c_attn', 'c_fc', 'c_proj']);
  });

  test('sorts names, once each, the head too', () => {
    expect(resolveTargets(llama, ['q_proj', 'lm_head', 'k_proj', 'q_proj'])).toEqual([
      'k_proj',
      'lm_head',
      'q_proj',
    ]);
  });

  test('refuses names that the model does not have, and none', () => {
    expect(refusal(() => resolveTargets(gpt2, ['q_proj', 'c_fc', 'x']))).toBe(
      'OPTION_INVALID: The model has no linear layer named q_proj, x.',
    );
    expect(refusal(() => resolveTargets(llama, []))).toBe(
      'OPTION_INVALID: No layer is chosen to be adapted.',
    );
  });
});

describe('layoutAdapter', () => {
  test('takes the modules layer by layer, in the order in which PyTorch registers them', () => {
    const { modules } = layoutAdapter(llama, {
      ...settings,
      targetModules: ['lm_head', ...settings.targetModules],
    });
    expect(modules.map(({ path, in: inSize, out }) => [path, inSize, out])).toEqual([
      [Q0, 32, 32],
      [DOWN0, 52, 32],
      [Q1, 32, 32],
      [DOWN1, 52, 32],
      ['lm_head', 32, 199],
    ]);
  });

  test('c_proj of GPT-2 is two modules', () => {
    const { modules } = layoutAdapter(gpt2, { ...settings, targetModules: ['c_proj'] });
    expect(modules.map(({ path, in: inSize, out }) => [path, inSize, out])).toEqual([
      ['transformer.h.0.attn.c_proj', 36, 36],
      ['transformer.h.0.mlp.c_proj', 144, 36],
    ]);
  });

  test('pads to blocks, aligns every slice to 256 bytes, and lets none overlap', () => {
    const layout = layoutAdapter(llama, { ...settings, targetModules: ['k_proj', 'lm_head'] });
    let end = 0;
    for (const { aOffset, bOffset, rank4, in: inSize, out } of layout.modules) {
      expect([aOffset % 64, bOffset % 64]).toEqual([0, 0]);
      expect(aOffset).toBeGreaterThanOrEqual(end);
      expect(bOffset).toBeGreaterThanOrEqual(aOffset + rank4 * 4 * inSize);
      end = bOffset + Math.ceil(out / 4) * 4 * rank4 * 4;
    }
    expect(layout.floats).toBeGreaterThanOrEqual(end);
    expect(layout.modules.map(({ rank4 }) => rank4)).toEqual([2, 2, 2]);
    expect(layout.parameters).toBe(2 * 5 * (32 + 16) + 5 * (32 + 199));
  });

  test('ranks and alphas follow the patterns by whole path or ending, never by a part of a name', () => {
    const { modules } = layoutAdapter(llama, {
      ...settings,
      rankPattern: { 'layers.1.mlp.down_proj': 6, [Q0]: 2, proj: 99 },
      alphaPattern: { q_proj: 3 },
    });
    expect(modules.map(({ path, rank, scale }) => [path, rank, scale])).toEqual([
      [Q0, 2, 3 / 2],
      [DOWN0, 5, 2],
      [Q1, 5, 3 / 5],
      [DOWN1, 6, 10 / 6],
    ]);
  });

  test('rsLoRA divides alpha by the root of the rank', () => {
    const [module] = layoutAdapter(llama, { ...settings, rank: 16, rslora: true }).modules;
    expect(module?.scale).toBe(10 / 4);
  });

  test('paths narrow the modules down', () => {
    const { modules } = layoutAdapter(llama, { ...settings, targetPaths: [DOWN0, Q1] });
    expect(modules.map(({ path }) => path)).toEqual([DOWN0, Q1]);
  });

  test.each([
    [0, 10],
    [2.5, 10],
    [513, 10],
    [5, 0],
    [5, -1],
    [5, NaN],
  ])('refuses rank %d with alpha %d', (rank, alpha) => {
    expect(refusal(() => layoutAdapter(llama, { ...settings, rank, alpha }))).toBe(
      `OPTION_INVALID: Rank ${rank} with alpha ${alpha} cannot be used (${Q0}).`,
    );
  });
});

describe('packing an adapter', () => {
  const layout = layoutAdapter(llama, { ...settings, targetModules: ['lm_head', 'q_proj'] });
  const tensors: AdapterTensor[] = layout.modules.flatMap(({ path, in: inSize, out }, index) => [
    { name: `${path}.lora_A.weight`, shape: [5, inSize], data: randomValues(index, 5 * inSize) },
    { name: `${path}.lora_B.weight`, shape: [out, 5], data: randomValues(index + 9, out * 5) },
  ]);

  test('comes back as it went in, whatever the order of its tensors', () => {
    const flat = packAdapter(layout, { tensors: tensors.toReversed() });
    expect(flat).toHaveLength(layout.floats);
    expect(unpackAdapter(layout, flat)).toEqual(tensors);
    const values = tensors.reduce((sum, { data }) => sum + data.length, 0);
    expect(values).toBe(layout.parameters);
    expect(flat.filter((value) => value !== 0)).toHaveLength(values);
  });

  test('A lies row by row, B with its rows padded to blocks', () => {
    const flat = packAdapter(layout, { tensors });
    const head = layout.modules.at(-1);
    const [a, b] = tensors.slice(-2);
    expect(flat[(head?.aOffset ?? NaN) + 4 * 32 + 31]).toBe(a?.data[4 * 32 + 31]);
    expect(flat[(head?.bOffset ?? NaN) + 198 * 8 + 4]).toBe(b?.data[198 * 5 + 4]);
  });

  test('an adapter of another model is refused by what differs', () => {
    const [first, ...rest] = tensors;
    if (!first) throw new Error('The adapter has no tensors.');
    const pack = (changed: AdapterTensor[]): string =>
      refusal(() => packAdapter(layout, { tensors: changed }));
    expect(pack(rest)).toBe(
      `ADAPTER_MISMATCH: The adapter does not fit this model. It has no ${first.name}.`,
    );
    expect(pack([{ ...first, shape: [5, 36] }, ...rest])).toContain(
      `Its ${first.name} is [5, 36]; this model needs [5, 32].`,
    );
    expect(pack([...tensors, { ...first, name: 'other.lora_A.weight' }])).toContain(
      'It has other.lora_A.weight, which this model has not.',
    );
    expect(pack([{ ...first, data: first.data.with(3, NaN) }, ...rest])).toContain(
      `Its ${first.name} holds a value that is not a number.`,
    );
  });
});
