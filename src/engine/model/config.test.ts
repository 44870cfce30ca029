import { describe, expect, test } from 'vitest';
import { StudioError } from '../../errors.ts';
import { parseModelConfig, type ModelConfig } from './config.ts';

/** The configs of tiny random models of every family, as transformers saved them. */
const saved = import.meta.glob<Record<string, unknown>>('../../../e2e/fixtures/parity/*/config.json', {
  import: 'default',
  eager: true,
});

function savedConfig(name: string): Record<string, unknown> {
  const config = saved[`../../../e2e/fixtures/parity/${name}/config.json`];
  if (!config) throw new Error(`No fixture ${name}.`);
  return config;
}

const LLAMA = savedConfig('llama');
const GPT2 = savedConfig('gpt2');

const parsedLlama: ModelConfig = {
  family: 'llama',
  vocabSize: 199,
  hiddenSize: 32,
  intermediateSize: 52,
  numLayers: 2,
  numHeads: 4,
  numKvHeads: 2,
  headDim: 8,
  maxPositions: 64,
  norm: 'rms',
  normEps: 1e-5,
  rope: { kind: 'default', theta: 10000 },
  qkNorm: false,
  slidingWindow: null,
  tiedEmbeddings: true,
};

const parsedGpt2: ModelConfig = {
  family: 'gpt2',
  vocabSize: 203,
  hiddenSize: 36,
  intermediateSize: 144,
  numLayers: 2,
  numHeads: 3,
  numKvHeads: 3,
  headDim: 12,
  maxPositions: 40,
  norm: 'layer',
  normEps: 1e-5,
  rope: null,
  qkNorm: false,
  slidingWindow: null,
  tiedEmbeddings: true,
};

/** What is thrown for a config, as code and message. */
function refusal(json: unknown): [code: string, message: string] {
  try {
    parseModelConfig(json);
  } catch (error) {
    if (error instanceof StudioError) return [error.code, error.message];
    throw error;
  }
  return ['none', 'accepted'];
}

describe('models as transformers saves them', () => {
  const llama3 = { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 };
  const wide = { kind: 'default', theta: 1e6 } as const;
  test.each<[name: string, config: ModelConfig]>([
    ['llama', parsedLlama],
    ['llama-bf16', { ...parsedLlama, numHeads: 8, headDim: 4 }],
    ['llama-linear', { ...parsedLlama, numLayers: 3, rope: { kind: 'linear', theta: 10000, factor: 4 } }],
    [
      'llama-rope3',
      {
        ...parsedLlama,
        numHeads: 2,
        numKvHeads: 1,
        headDim: 16,
        rope: { kind: 'llama3', theta: 10000, ...llama3 },
      },
    ],
    ['llama-untied', { ...parsedLlama, tiedEmbeddings: false }],
    ['mistral', { ...parsedLlama, family: 'mistral', numLayers: 3, slidingWindow: 7, rope: wide }],
    ['qwen2', { ...parsedLlama, family: 'qwen2', normEps: 1e-6, rope: wide }],
    ['qwen3', { ...parsedLlama, family: 'qwen3', normEps: 1e-6, rope: wide, headDim: 12, qkNorm: true }],
    ['gpt2', parsedGpt2],
    [
      'gpt2-f16',
      {
        ...parsedGpt2,
        hiddenSize: 32,
        intermediateSize: 128,
        numHeads: 2,
        numKvHeads: 2,
        headDim: 16,
        normEps: 1e-6,
      },
    ],
  ])('%s', (name, config) => {
    expect(parseModelConfig(savedConfig(name))).toEqual(config);
  });

  test('every one of them is in this list', () => {
    expect(Object.keys(saved)).toHaveLength(10);
  });
});

describe('spellings', () => {
  const { rope_parameters: _, ...bare } = LLAMA;

  test('the old and the new one say the same', () => {
    const rope = {
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    const old = parseModelConfig({
      ...bare,
      torch_dtype: 'bfloat16',
      rope_theta: 500000,
      rope_scaling: { type: 'llama3', ...rope },
    });
    const now = parseModelConfig({
      ...bare,
      dtype: 'bfloat16',
      rope_parameters: { rope_type: 'llama3', rope_theta: 500000, ...rope },
    });
    expect(old).toEqual(now);
    expect(old.rope).toMatchObject({ kind: 'llama3', theta: 500000, originalMaxPositions: 8192 });
  });

  test('null means absent, and what is absent has the default of transformers', () => {
    const config = parseModelConfig({
      ...bare,
      rope_scaling: null,
      head_dim: null,
      num_key_value_heads: null,
      tie_word_embeddings: null,
      max_position_embeddings: null,
      rms_norm_eps: null,
    });
    expect(config).toEqual({
      ...parsedLlama,
      numKvHeads: 4,
      maxPositions: 2048,
      normEps: 1e-6,
      tiedEmbeddings: false,
    });
    const { n_positions: _positions, tie_word_embeddings: _tied, ...short } = GPT2;
    expect(parseModelConfig({ ...short, n_inner: 100 })).toEqual({
      ...parsedGpt2,
      maxPositions: 1024,
      intermediateSize: 100,
    });
  });

  test('the model type serves where no architecture is named', () => {
    expect(parseModelConfig({ ...LLAMA, architectures: [] })).toEqual(parsedLlama);
    expect(parseModelConfig({ ...GPT2, architectures: null })).toEqual(parsedGpt2);
  });

  test('a window that Qwen2 names but does not use is none, and so is a null window', () => {
    const qwen = parseModelConfig({ ...savedConfig('qwen2'), sliding_window: 4096 });
    expect(qwen.slidingWindow).toBeNull();
    expect(parseModelConfig({ ...savedConfig('mistral'), sliding_window: null }).slidingWindow).toBeNull();
  });
});

describe('what the engine does not cover is refused by name', () => {
  const rope = (parameters: object): object => ({ ...LLAMA, rope_parameters: parameters });
  test.each<[named: string, json: unknown]>([
    ['the architecture GemmaForCausalLM', { ...LLAMA, architectures: ['GemmaForCausalLM'] }],
    ['LlamaForSequenceClassification', { ...LLAMA, architectures: ['LlamaForSequenceClassification'] }],
    ['the architecture constructor', { ...LLAMA, architectures: ['constructor'] }],
    ['the model type mixtral', { ...LLAMA, architectures: [], model_type: 'mixtral' }],
    ['no architecture in config.json', { hidden_size: 32 }],
    ['quantised weights (quantization_config)', { ...LLAMA, quantization_config: { bits: 4 } }],
    ['the activation gelu', { ...LLAMA, hidden_act: 'gelu' }],
    ['a mixture of experts (num_experts)', { ...LLAMA, num_experts: 8 }],
    ['a mixture of experts (num_local_experts)', { ...LLAMA, num_local_experts: 8 }],
    ['a mixture of experts (n_routed_experts)', { ...LLAMA, n_routed_experts: 8 }],
    ['the rotary position type yarn', rope({ rope_type: 'yarn', rope_theta: 10000, factor: 2 })],
    ['the rotary position type dynamic', rope({ rope_type: 'dynamic', factor: 2 })],
    ['partial_rotary_factor', rope({ rope_type: 'default', partial_rotary_factor: 0.5 })],
    ['partial_rotary_factor', { ...LLAMA, partial_rotary_factor: 0.25 }],
    ['use_sliding_window', { ...savedConfig('qwen2'), use_sliding_window: true }],
    ['the activation relu', { ...GPT2, activation_function: 'relu' }],
    ['scale_attn_by_inverse_layer_idx', { ...GPT2, scale_attn_by_inverse_layer_idx: true }],
    ['add_cross_attention', { ...GPT2, add_cross_attention: true }],
    ['scale_attn_weights false', { ...GPT2, scale_attn_weights: false }],
    ['hiddenSize = 34, which is no multiple of 4', { ...LLAMA, hidden_size: 34, head_dim: 8 }],
    ['intermediateSize = 53, which is no multiple of 4', { ...LLAMA, intermediate_size: 53 }],
    ['headDim = 6, which is no multiple of 4', { ...LLAMA, head_dim: 6 }],
    ['headDim = 7.2, which is no multiple of 4', { ...GPT2, n_head: 5 }],
    ['headDim = 260, which is above 256', { ...LLAMA, head_dim: 260 }],
    ['4 heads for 3 key/value heads', { ...LLAMA, num_key_value_heads: 3 }],
    ['4 heads for 8 key/value heads', { ...LLAMA, num_key_value_heads: 8 }],
  ])('%s', (named, json) => {
    const [code, message] = refusal(json);
    expect(code).toBe('MODEL_UNSUPPORTED');
    expect(message).toContain(named);
  });
});

describe('a broken config.json is named with the field', () => {
  const { hidden_size: _, ...headless } = LLAMA;
  test.each<[named: string, json: unknown]>([
    ['config.json is not an object', []],
    ['config.json is not an object', null],
    ['config.json has no hidden_size', headless],
    ['hidden_size = "32"', { ...LLAMA, hidden_size: '32' }],
    ['vocab_size = -1', { ...LLAMA, vocab_size: -1 }],
    ['num_hidden_layers = 2.5', { ...LLAMA, num_hidden_layers: 2.5 }],
    [`vocab_size = ${2 ** 25}`, { ...LLAMA, vocab_size: 2 ** 25 }],
    ['rms_norm_eps = "tiny"', { ...LLAMA, rms_norm_eps: 'tiny' }],
    ['tie_word_embeddings = 1', { ...LLAMA, tie_word_embeddings: 1 }],
    ['hidden_act = 3', { ...LLAMA, hidden_act: 3 }],
    ['architectures = "LlamaForCausalLM"', { ...LLAMA, architectures: 'LlamaForCausalLM' }],
    ['rope_parameters = "default"', { ...LLAMA, rope_parameters: 'default' }],
    ['config.json has no factor', { ...LLAMA, rope_parameters: { rope_type: 'linear' } }],
  ])('%s', (named, json) => {
    const [code, message] = refusal(json);
    expect(code).toBe('MODEL_INVALID');
    expect(message).toContain(named);
  });
});
