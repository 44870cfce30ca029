/** Names of weights and linear layers per family: a family is data, not a subclass. */
import type { ModelConfig } from './config.ts';

/** The linear layers inside one decoder layer, by their role. */
export type LinearRole = 'q' | 'k' | 'v' | 'o' | 'gate' | 'up' | 'down' | 'qkv' | 'fc';

export interface LinearSpec {
  role: LinearRole;
  /** Path below the layer, such as `self_attn.q_proj`. */
  path: string;
  in: number;
  out: number;
  /** GPT-2's Conv1D keeps its weight as [in, out]. */
  transposed: boolean;
}

/** Prefix of layer `index`, such as `model.layers.3`. */
export function layerPrefix(config: ModelConfig, index: number): string {
  return config.family === 'gpt2' ? `transformer.h.${index}` : `model.layers.${index}`;
}

/** The linear layers of one decoder layer in the order in which PyTorch registers them. */
export function layerLinears(config: ModelConfig): LinearSpec[] {
  const { hiddenSize: hidden, intermediateSize: inner, numHeads, numKvHeads, headDim } = config;
  const linear = (role: LinearRole, path: string, inSize: number, out: number): LinearSpec => ({
    role,
    path,
    in: inSize,
    out,
    transposed: config.family === 'gpt2',
  });
  if (config.family === 'gpt2') {
    return [
      linear('qkv', 'attn.c_attn', hidden, 3 * hidden),
      linear('o', 'attn.c_proj', hidden, hidden),
      linear('fc', 'mlp.c_fc', hidden, inner),
      linear('down', 'mlp.c_proj', inner, hidden),
    ];
  }
  return [
    linear('q', 'self_attn.q_proj', hidden, numHeads * headDim),
    linear('k', 'self_attn.k_proj', hidden, numKvHeads * headDim),
    linear('v', 'self_attn.v_proj', hidden, numKvHeads * headDim),
    linear('o', 'self_attn.o_proj', numHeads * headDim, hidden),
    linear('gate', 'mlp.gate_proj', hidden, inner),
    linear('up', 'mlp.up_proj', hidden, inner),
    linear('down', 'mlp.down_proj', inner, hidden),
  ];
}

/** Names of the weights outside the layers. */
export interface OuterNames {
  embedding: string;
  positions: string | null;
  finalNorm: string;
  /** The output head; null when it is the embedding. */
  head: string | null;
}

export function outerNames(config: ModelConfig): OuterNames {
  if (config.family === 'gpt2') {
    return {
      embedding: 'transformer.wte.weight',
      positions: 'transformer.wpe.weight',
      finalNorm: 'transformer.ln_f',
      head: config.tiedEmbeddings ? null : 'lm_head.weight',
    };
  }
  return {
    embedding: 'model.embed_tokens.weight',
    positions: null,
    finalNorm: 'model.norm',
    head: config.tiedEmbeddings ? null : 'lm_head.weight',
  };
}

/** Names of the two norms of a layer, without `.weight`. */
export function layerNorms(config: ModelConfig): { attention: string; mlp: string } {
  return config.family === 'gpt2'
    ? { attention: 'ln_1', mlp: 'ln_2' }
    : { attention: 'input_layernorm', mlp: 'post_attention_layernorm' };
}

/** The last name part of a module path: what `target_modules` lists. */
export function moduleSuffix(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

/** The names that `target_modules` may list for this model, without lm_head: PEFT's `all-linear`. */
export function targetNames(config: ModelConfig): string[] {
  return [...new Set(layerLinears(config).map(({ path }) => moduleSuffix(path)))];
}
