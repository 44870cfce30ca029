/** Operations and bytes that a step needs by the formulas of engine-performance.md section 6. */
import type { ModelConfig } from '../src/engine/index.ts';
import { layerLinears } from '../src/engine/model/modules.ts';

/** Parameters of the frozen linear layers of all blocks. */
export function linearParameters(config: ModelConfig): number {
  return config.numLayers * layerLinears(config).reduce((sum, spec) => sum + spec.in * spec.out, 0);
}

/** Operations of one step over one sequence: forward and backward; `trained` of its tokens reach the head. */
export function stepFlops(
  config: ModelConfig,
  { tokens, trained, adapter }: { tokens: number; trained: number; adapter: number },
): number {
  const attention = config.numHeads * config.headDim * config.numLayers;
  const perToken = 4 * linearParameters(config) + 7 * tokens * attention + 6 * adapter;
  return tokens * perToken + trained * 4 * config.vocabSize * config.hiddenSize;
}

/** Bytes of the activations that must be kept: x twice, q, attention out, k, v, gate and up, per layer and token. */
export function minimalActivationBytes(config: ModelConfig, tokens: number): number {
  const query = config.numHeads * config.headDim;
  const key = config.numKvHeads * config.headDim;
  const floats = 2 * config.hiddenSize + 2 * query + 2 * key + 2 * config.intermediateSize;
  return 4 * floats * tokens * config.numLayers;
}
