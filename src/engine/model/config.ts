/**
 * One description for every supported family, parsed from HuggingFace's config.json (old and new spelling).
 * What the engine does not cover is refused by name here, before any weight is read.
 */
import { ConfigReader } from './config-reader.ts';
import { refuseModel } from './refuse.ts';
import { readRopeScaling, type RopeScaling } from './rope-scaling.ts';

export type Family = 'llama' | 'mistral' | 'qwen2' | 'qwen3' | 'gpt2';

export interface ModelConfig {
  family: Family;
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  maxPositions: number;
  norm: 'rms' | 'layer';
  normEps: number;
  /** Rotary positions, or null for learned ones (GPT-2). */
  rope: RopeScaling | null;
  /** RMSNorm on every query and key head (Qwen3). */
  qkNorm: boolean;
  /** Keys a token may look back to, itself included; null for all. */
  slidingWindow: number | null;
  tiedEmbeddings: boolean;
}

/** Families by the architecture that config.json names. */
const ARCHITECTURES: Readonly<Record<string, Family>> = {
  LlamaForCausalLM: 'llama',
  MistralForCausalLM: 'mistral',
  Qwen2ForCausalLM: 'qwen2',
  Qwen3ForCausalLM: 'qwen3',
  GPT2LMHeadModel: 'gpt2',
};

/** How people call the families. */
export const FAMILY_NAMES: Readonly<Record<Family, string>> = {
  llama: 'Llama',
  mistral: 'Mistral',
  qwen2: 'Qwen2',
  qwen3: 'Qwen3',
  gpt2: 'GPT-2',
};

/** Parses config.json. Throws MODEL_UNSUPPORTED or MODEL_INVALID. */
export function parseModelConfig(json: unknown): ModelConfig {
  const reader = new ConfigReader(json);
  const family = readFamily(reader);
  const config = family === 'gpt2' ? readGpt2(reader) : readLlamaLike(reader, family);
  checkSizes(config);
  return config;
}

function readFamily(reader: ConfigReader): Family {
  if (reader.has('quantization_config')) refuseModel('quantised weights (quantization_config)');
  const [architecture] = reader.strings('architectures');
  const modelType = reader.optionalString('model_type');
  if (architecture !== undefined) {
    const family = Object.hasOwn(ARCHITECTURES, architecture) ? ARCHITECTURES[architecture] : undefined;
    if (!family) refuseModel(`the architecture ${architecture}`);
    return family;
  }
  const family = Object.values(ARCHITECTURES).find((candidate) => candidate === modelType);
  if (!family)
    refuseModel(modelType === undefined ? 'no architecture in config.json' : `the model type ${modelType}`);
  return family;
}

function readLlamaLike(reader: ConfigReader, family: Exclude<Family, 'gpt2'>): ModelConfig {
  const activation = reader.optionalString('hidden_act') ?? 'silu';
  if (activation !== 'silu' && activation !== 'swish') refuseModel(`the activation ${activation}`);
  for (const key of ['num_experts', 'num_local_experts', 'n_routed_experts']) {
    if (reader.has(key)) refuseModel(`a mixture of experts (${key})`);
  }
  const hiddenSize = reader.size('hidden_size');
  const numHeads = reader.size('num_attention_heads');
  const headDim = reader.optionalSize('head_dim') ?? (family === 'qwen3' ? 128 : hiddenSize / numHeads);
  return {
    family,
    vocabSize: reader.size('vocab_size'),
    hiddenSize,
    intermediateSize: reader.size('intermediate_size'),
    numLayers: reader.size('num_hidden_layers'),
    numHeads,
    numKvHeads: reader.optionalSize('num_key_value_heads') ?? numHeads,
    headDim,
    maxPositions: reader.optionalSize('max_position_embeddings') ?? 2048,
    norm: 'rms',
    normEps: reader.optionalNumber('rms_norm_eps') ?? 1e-6,
    rope: readRopeScaling(reader),
    qkNorm: family === 'qwen3',
    slidingWindow: readWindow(reader, family),
    tiedEmbeddings: reader.optionalBoolean('tie_word_embeddings') ?? false,
  };
}

/** Mistral's window is on whenever it is named; Qwen's only with `use_sliding_window`, and then on some layers alone. */
function readWindow(reader: ConfigReader, family: Family): number | null {
  if (family === 'mistral') return reader.optionalSize('sliding_window') ?? null;
  if (reader.optionalBoolean('use_sliding_window') === true)
    refuseModel('sliding windows on some of its layers (use_sliding_window)');
  return null;
}

function readGpt2(reader: ConfigReader): ModelConfig {
  const activation = reader.optionalString('activation_function') ?? 'gelu_new';
  if (activation !== 'gelu_new' && activation !== 'gelu_pytorch_tanh')
    refuseModel(`the activation ${activation}`);
  for (const key of ['scale_attn_by_inverse_layer_idx', 'add_cross_attention']) {
    if (reader.optionalBoolean(key) === true) refuseModel(`the option ${key}`);
  }
  if (reader.optionalBoolean('scale_attn_weights') === false)
    refuseModel('unscaled attention (scale_attn_weights false)');
  const hiddenSize = reader.size('n_embd');
  const numHeads = reader.size('n_head');
  return {
    family: 'gpt2',
    vocabSize: reader.size('vocab_size'),
    hiddenSize,
    intermediateSize: reader.optionalSize('n_inner') ?? 4 * hiddenSize,
    numLayers: reader.size('n_layer'),
    numHeads,
    numKvHeads: numHeads,
    headDim: hiddenSize / numHeads,
    maxPositions: reader.optionalSize('n_positions') ?? 1024,
    norm: 'layer',
    normEps: reader.optionalNumber('layer_norm_epsilon') ?? 1e-5,
    rope: null,
    qkNorm: false,
    slidingWindow: null,
    tiedEmbeddings: reader.optionalBoolean('tie_word_embeddings') ?? true,
  };
}

/** The kernels read four values at a time, so widths come in fours; every published model of these families has that. */
function checkSizes(config: ModelConfig): void {
  const { hiddenSize, intermediateSize, headDim, numHeads, numKvHeads } = config;
  for (const [name, value] of Object.entries({ hiddenSize, intermediateSize, headDim })) {
    if (!Number.isInteger(value) || value % 4 !== 0)
      refuseModel(`${name} = ${value}, which is no multiple of 4`);
  }
  if (headDim > 256) refuseModel(`headDim = ${headDim}, which is above 256`);
  if (numHeads % numKvHeads !== 0) refuseModel(`${numHeads} heads for ${numKvHeads} key/value heads`);
}
