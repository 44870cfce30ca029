/**
 * Records the decoder's backward pass, derived by hand. Norm outputs and the gated product are computed again instead of
 * being kept; frozen weights get no gradient; below the lowest adapted layer nothing is recorded.
 */
import { attentionBackward } from '../ops/attention.ts';
import { copyColumns } from '../ops/columns.ts';
import { gelu, geluBackward } from '../ops/gelu.ts';
import { layerNormBackward } from '../ops/layernorm.ts';
import { linearBackward } from '../ops/linear.ts';
import { rmsNormBackward } from '../ops/rmsnorm.ts';
import { rope } from '../ops/rope.ts';
import type { RowOptions } from '../ops/rows.ts';
import { swiglu, swigluBackward } from '../ops/swiglu.ts';
import type { TensorRef } from '../gpu/plan.ts';
import {
  attentionOptions,
  linearOf,
  normForward,
  perHead,
  type Graph,
  type LayerTape,
  type Normed,
} from './graph.ts';
import type { LinearRole } from './modules.ts';
import type { LayerWeights, NormWeights } from './weights.ts';

/** Records the gradient of a norm's input into `dx`. */
export function normBackward(
  graph: Graph,
  dy: TensorRef,
  x: TensorRef,
  norm: NormWeights,
  normed: Normed,
  dx: TensorRef,
  accumulate: boolean,
  options: RowOptions = {},
): void {
  if (normed.mean) {
    layerNormBackward(graph.plan, dy, x, norm.weight, normed.mean, normed.rstd, dx, { accumulate }, options);
  } else {
    rmsNormBackward(graph.plan, dy, x, norm.weight, normed.rstd, dx, { accumulate }, options);
  }
}

/** Whether any of these layers of layer `index` is adapted. */
function adapts(graph: Graph, layer: LayerWeights, roles: readonly LinearRole[]): boolean {
  return layer.linears.some(({ spec, path }) => roles.includes(spec.role) && graph.slot(path) !== null);
}

/** The index of the lowest layer that is adapted; the number of layers when none is. */
export function lowestAdaptedLayer(graph: Graph): number {
  const index = graph.weights.layers.findIndex((layer) =>
    layer.linears.some(({ path }) => graph.slot(path) !== null),
  );
  return index < 0 ? graph.config.numLayers : index;
}

/** Records the backward pass of all layers; `dx` [rows, hidden] is the gradient of the last hidden state, used up in place. */
export function decoderBackward(graph: Graph, tapes: readonly LayerTape[], dx: TensorRef): void {
  const lowest = lowestAdaptedLayer(graph);
  for (let index = graph.config.numLayers - 1; index >= lowest; index--) {
    const tape = tapes[index];
    const layer = graph.weights.layers[index];
    if (!tape || !layer) throw new Error(`No tape for layer ${index}.`);
    layerBackward({ graph, layer, tape, dx, below: index > lowest });
  }
}

interface LayerPass {
  graph: Graph;
  layer: LayerWeights;
  tape: LayerTape;
  /** In: gradient of the layer's output; out: gradient of its input. */
  dx: TensorRef;
  /** Whether a layer below is adapted. */
  below: boolean;
}

function layerBackward(pass: LayerPass): void {
  const { graph, layer, below } = pass;
  const attentionNeeded = below || adapts(graph, layer, ['q', 'k', 'v', 'qkv', 'o']);
  mlpBackward(pass, attentionNeeded);
  if (attentionNeeded) attentionBlockBackward(pass);
}

function mlpBackward({ graph, layer, tape, dx }: LayerPass, below: boolean): void {
  const { plan } = graph;
  const { gate, up, xMid } = tape;
  const gated = up !== null;
  const inner = below || adapts(graph, layer, ['gate', 'up', 'fc']);
  const down = linearOf(layer, 'down');
  if (!inner && !graph.slot(down.path)) return;
  const hidden = up ? swiglu(plan, gate, up) : gelu(plan, gate);
  const dHidden = inner ? plan.tensor('d hidden', hidden.rows, hidden.cols) : null;
  linearBackward(graph, down, {
    dy: dx,
    x: hidden,
    z: tape.z.get('down') ?? null,
    dx: dHidden,
    accumulate: false,
  });
  if (!dHidden) return;
  // In place: gate and up become their gradients.
  if (up) swigluBackward(plan, dHidden, gate, up);
  else geluBackward(plan, dHidden, gate);
  const normed = normForward(graph, xMid, layer.mlpNorm);
  const dNormed = below ? plan.tensor('d mlp norm', xMid.rows, xMid.cols) : null;
  const first = gated ? 'gate' : 'fc';
  linearBackward(graph, linearOf(layer, first), {
    dy: gate,
    x: normed.y,
    z: tape.z.get(first) ?? null,
    dx: dNormed,
    accumulate: false,
  });
  if (up)
    linearBackward(graph, linearOf(layer, 'up'), {
      dy: up,
      x: normed.y,
      z: tape.z.get('up') ?? null,
      dx: dNormed,
      accumulate: true,
    });
  if (dNormed) normBackward(graph, dNormed, xMid, layer.mlpNorm, normed, dx, true);
}

function attentionBlockBackward(pass: LayerPass): void {
  const { graph, layer, tape, dx, below } = pass;
  const { plan, config, tokens, ropeTable } = graph;
  const { numHeads, numKvHeads, headDim } = config;
  const heads = below || adapts(graph, layer, ['q', 'k', 'v', 'qkv']);
  const dOut = heads ? plan.tensor('d attention', tape.attentionOut.rows, tape.attentionOut.cols) : null;
  linearBackward(graph, linearOf(layer, 'o'), {
    dy: dx,
    x: tape.attentionOut,
    z: tape.z.get('o') ?? null,
    dx: dOut,
    accumulate: false,
  });
  if (!dOut) return;
  const { q, k, v, attentionOut: out, lse } = tape;
  const inputs = { q, k, v, out, lse, dOut, segStart: tokens.segStart, segEnd: tokens.segEnd };
  const { dq, dk, dv } = attentionBackward(plan, inputs, attentionOptions(config));
  if (ropeTable) {
    rope(plan, dq, tokens.positions, ropeTable, { heads: numHeads, headDim, backward: true });
    rope(plan, dk, tokens.positions, ropeTable, { heads: numKvHeads, headDim, backward: true });
  }
  const gradients = { q: headNormBackward(pass, dq, 'query'), k: headNormBackward(pass, dk, 'key'), v: dv };
  projectionBackward(pass, gradients);
}

/** Through the per-head norm of queries or keys, where the family has one. */
function headNormBackward(
  { graph, layer, tape }: LayerPass,
  dy: TensorRef,
  which: 'query' | 'key',
): TensorRef {
  const { numHeads, numKvHeads, headDim } = graph.config;
  const [normed, raw, weight, heads] =
    which === 'query'
      ? [tape.queryNorm, tape.qRaw, layer.queryNorm, numHeads]
      : [tape.keyNorm, tape.kRaw, layer.keyNorm, numKvHeads];
  if (!normed || !weight) return dy;
  const dx = graph.plan.tensor(`d ${which}`, dy.rows, dy.cols);
  const rows = { rowsPerToken: heads };
  const norm = { weight, bias: null };
  normBackward(
    graph,
    perHead(dy, heads, headDim),
    perHead(raw, heads, headDim),
    norm,
    normed,
    perHead(dx, heads, headDim),
    false,
    rows,
  );
  return dx;
}

/** Through q, k and v into the layer's input. */
function projectionBackward(
  { graph, layer, tape, dx, below }: LayerPass,
  d: { q: TensorRef; k: TensorRef; v: TensorRef },
): void {
  const { plan, config } = graph;
  const normed = normForward(graph, tape.xIn, layer.attentionNorm);
  const dNormed = below ? plan.tensor('d attention norm', tape.xIn.rows, tape.xIn.cols) : null;
  const back = (role: LinearRole, dy: TensorRef, accumulate: boolean): void =>
    linearBackward(graph, linearOf(layer, role), {
      dy,
      x: normed.y,
      z: tape.z.get(role) ?? null,
      dx: dNormed,
      accumulate,
    });
  if (config.family === 'gpt2') {
    const width = config.hiddenSize;
    const joined = plan.tensor('d qkv', d.q.rows, 3 * width);
    [d.q, d.k, d.v].forEach((from, order) =>
      copyColumns(plan, { from, fromCol: 0, to: joined, toCol: order * width, cols: width }),
    );
    back('qkv', joined, false);
  } else {
    back('q', d.q, false);
    back('k', d.k, true);
    back('v', d.v, true);
  }
  if (dNormed) normBackward(graph, dNormed, tape.xIn, layer.attentionNorm, normed, dx, true);
}
