/** Records the decoder's forward pass into a plan: one description for every family. */
import { gatherRows } from '../ops/head.ts';
import { attention, attentionDecode } from '../ops/attention.ts';
import { copyColumns } from '../ops/columns.ts';
import { embedding } from '../ops/embedding.ts';
import { gelu } from '../ops/gelu.ts';
import { layerNorm } from '../ops/layernorm.ts';
import { linearForward, type LinearContext } from '../ops/linear.ts';
import { rmsNorm } from '../ops/rmsnorm.ts';
import { rope } from '../ops/rope.ts';
import type { RowOptions } from '../ops/rows.ts';
import { swiglu } from '../ops/swiglu.ts';
import { appendToCache } from '../ops/cache.ts';
import type { TensorRef } from '../gpu/plan.ts';
import type { ModelConfig } from './config.ts';
import type { LinearRole } from './modules.ts';
import type { FrozenLinear, LayerWeights, ModelWeights, NormWeights } from './weights.ts';

/** The token axis of a plan, as words in buffers that the caller fills. */
export interface TokenInputs {
  /** Rows of the bucket. */
  rows: number;
  ids: TensorRef;
  positions: TensorRef;
  /** First row of the token's sequence, and one past its last row. */
  segStart: TensorRef;
  segEnd: TensorRef;
}

export interface Graph extends LinearContext {
  config: ModelConfig;
  weights: ModelWeights;
  tokens: TokenInputs;
  /** [positions, headDim] of cosines and sines; null for learned positions. */
  ropeTable: TensorRef | null;
  /** What generating keeps; null when training. */
  cache: DecodeCache | null;
}

/** Keys and values of texts that are being decoded, `maxLen` rows of the caches each. */
export interface DecodeCache {
  layers: readonly { k: TensorRef; v: TensorRef }[];
  /** Words per token: the cache row that it takes. `segStart` is the first row of its text. */
  rows: TensorRef;
  /** Each token is the next one of another text; otherwise all are a piece of one, at `batch.keyOffset`. */
  sideBySide: boolean;
}

/** A normalised tensor with what its backward pass needs. */
export interface Normed {
  y: TensorRef;
  mean: TensorRef | null;
  rstd: TensorRef;
}

/** What the backward pass of a layer reads: the minimal activations of engine-performance.md section 6. */
export interface LayerTape {
  xIn: TensorRef;
  xMid: TensorRef;
  q: TensorRef;
  k: TensorRef;
  v: TensorRef;
  /** Before the per-head norm (Qwen3). */
  qRaw: TensorRef;
  kRaw: TensorRef;
  queryNorm: Normed | null;
  keyNorm: Normed | null;
  attentionOut: TensorRef;
  lse: TensorRef;
  /** SwiGLU: gate and up. GELU: its input, and null. */
  gate: TensorRef;
  up: TensorRef | null;
  /** z of the adapted linear layers. */
  z: Map<LinearRole, TensorRef | null>;
}

/** A linear layer of a layer by its role. */
export function linearOf(layer: LayerWeights, role: LinearRole): FrozenLinear {
  const found = layer.linears.find(({ spec }) => spec.role === role);
  if (!found) throw new Error(`No linear layer for ${role}.`);
  return found;
}

export function normForward(graph: Graph, x: TensorRef, norm: NormWeights, options: RowOptions = {}): Normed {
  const eps = graph.config.normEps;
  if (!norm.bias) return { ...rmsNorm(graph.plan, x, norm.weight, eps, options), mean: null };
  return layerNorm(graph.plan, x, norm.weight, norm.bias, eps, options);
}

/** Sees a tensor [tokens, heads * headDim] as one row per head. */
export function perHead(x: TensorRef, heads: number, headDim: number): TensorRef {
  return { ...x, rows: x.rows * heads, cols: headDim };
}

/** Records the embedding: [rows, hidden]. */
export function embedTokens(graph: Graph): TensorRef {
  const { plan, config, weights, tokens } = graph;
  const x = plan.tensor('embedded', tokens.rows, config.hiddenSize);
  embedding(plan, tokens.ids, weights.embedding, x);
  if (weights.positions) embedding(plan, tokens.positions, weights.positions, x, true);
  return x;
}

/** Records one decoder layer and returns its output with the tape. */
export function layerForward(
  graph: Graph,
  index: number,
  xIn: TensorRef,
): { out: TensorRef; tape: LayerTape } {
  const layer = graph.weights.layers[index];
  if (!layer) throw new Error(`No layer ${index}.`);
  const z = new Map<LinearRole, TensorRef | null>();
  const linear = (role: LinearRole, x: TensorRef, residual?: TensorRef): TensorRef => {
    const output = linearForward(graph, linearOf(layer, role), x, residual);
    z.set(role, output.z);
    return output.y;
  };
  const heads = projectHeads(graph, layer, normForward(graph, xIn, layer.attentionNorm).y, linear);
  const attended = attend(graph, index, heads);
  const xMid = linear('o', attended.out, xIn);
  const mlpNorm = normForward(graph, xMid, layer.mlpNorm);
  const gated = graph.config.family !== 'gpt2';
  const gate = linear(gated ? 'gate' : 'fc', mlpNorm.y);
  const up = gated ? linear('up', mlpNorm.y) : null;
  const hidden = up ? swiglu(graph.plan, gate, up) : gelu(graph.plan, gate);
  const out = linear('down', hidden, xMid);
  const tape = { xIn, xMid, ...heads, attentionOut: attended.out, lse: attended.lse, gate, up, z };
  return { out, tape };
}

type Heads = Pick<LayerTape, 'q' | 'k' | 'v' | 'qRaw' | 'kRaw' | 'queryNorm' | 'keyNorm'>;

/** Queries, keys and values, with their per-head norms and rotation. */
function projectHeads(
  graph: Graph,
  layer: LayerWeights,
  x: TensorRef,
  linear: (role: LinearRole, x: TensorRef) => TensorRef,
): Heads {
  const { plan, config } = graph;
  const { numHeads, numKvHeads, headDim } = config;
  if (config.family === 'gpt2') {
    const qkv = linear('qkv', x);
    const width = config.hiddenSize;
    const [q, k, v] = (['q', 'k', 'v'] as const).map((name, order) => {
      const part = plan.tensor(name, x.rows, width);
      copyColumns(plan, { from: qkv, fromCol: order * width, to: part, toCol: 0, cols: width });
      return part;
    });
    if (!q || !k || !v) throw new Error('No heads.');
    return { q, k, v, qRaw: q, kRaw: k, queryNorm: null, keyNorm: null };
  }
  const qRaw = linear('q', x);
  const kRaw = linear('k', x);
  const v = linear('v', x);
  const headNorm = (raw: TensorRef, weight: TensorRef | null, heads: number): Normed | null =>
    weight
      ? normForward(graph, perHead(raw, heads, headDim), { weight, bias: null }, { rowsPerToken: heads })
      : null;
  const queryNorm = headNorm(qRaw, layer.queryNorm, numHeads);
  const keyNorm = headNorm(kRaw, layer.keyNorm, numKvHeads);
  const q = queryNorm ? { ...queryNorm.y, rows: x.rows, cols: numHeads * headDim } : qRaw;
  const k = keyNorm ? { ...keyNorm.y, rows: x.rows, cols: numKvHeads * headDim } : kRaw;
  return { q, k, v, qRaw, kRaw, queryNorm, keyNorm };
}

/** What attention agrees on forward and backward. */
export function attentionOptions(config: ModelConfig): {
  heads: number;
  kvHeads: number;
  headDim: number;
  scale: number;
  window: number | null;
} {
  const { numHeads, numKvHeads, headDim, slidingWindow } = config;
  return {
    heads: numHeads,
    kvHeads: numKvHeads,
    headDim,
    scale: 1 / Math.sqrt(headDim),
    window: slidingWindow,
  };
}

function attend(graph: Graph, index: number, { q, k, v }: Heads): { out: TensorRef; lse: TensorRef } {
  const { plan, config, tokens, ropeTable, cache } = graph;
  const { numHeads, numKvHeads, headDim } = config;
  const kept = cache?.layers[index];
  if (ropeTable) {
    rope(plan, q, tokens.positions, ropeTable, { heads: numHeads, headDim, backward: false });
    const out = kept && cache ? { out: { cache: kept.k, rows: cache.rows } } : {};
    rope(plan, k, tokens.positions, ropeTable, { heads: numKvHeads, headDim, backward: false, ...out });
  } else if (kept && cache) {
    appendToCache(plan, k, cache.rows, kept.k);
  }
  const options = attentionOptions(config);
  const { segStart } = tokens;
  if (!kept || !cache) return attention(plan, q, k, v, segStart, options);
  appendToCache(plan, v, cache.rows, kept.v);
  if (cache.sideBySide)
    return attentionDecode(plan, { q, k: kept.k, v: kept.v, segStart, cacheRows: cache.rows }, options);
  return attention(plan, q, kept.k, kept.v, segStart, { ...options, cached: true });
}

/** Records the whole decoder up to the last hidden state. */
export function decoderForward(graph: Graph): { x: TensorRef; tapes: LayerTape[] } {
  let x = embedTokens(graph);
  const tapes: LayerTape[] = [];
  for (let index = 0; index < graph.config.numLayers; index++) {
    const { out, tape } = layerForward(graph, index, x);
    tapes.push(tape);
    x = out;
  }
  return { x, tapes };
}

/** Records picking the head's rows and the final norm. */
export function finalRows(
  graph: Graph,
  x: TensorRef,
  rows: TensorRef,
  count: number,
): { picked: TensorRef; normed: Normed } {
  const picked = gatherRows(graph.plan, x, rows, count);
  return { picked, normed: normForward(graph, picked, graph.weights.finalNorm, { rowsFrom: 'head' }) };
}
