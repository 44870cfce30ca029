/** Models of SmolLM2's shape with random weights, made tensor by tensor while they load. */
import type { LoraSettings } from '../src/formats/adapter.ts';
import type { TensorInfo, TensorSource } from '../src/formats/tensors.ts';
import {
  loadBaseModel,
  parseModelConfig,
  resolveTargets,
  type BaseModel,
  type ModelConfig,
} from '../src/engine/index.ts';
import { layerLinears, layerNorms, layerPrefix, outerNames } from '../src/engine/model/modules.ts';
import { randomBf16 } from './random.ts';

/** SmolLM2-135M's config with another depth and vocabulary. */
export function smolConfig(layers = 30, vocabulary = 49152): ModelConfig {
  return parseModelConfig({
    architectures: ['LlamaForCausalLM'],
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: layers,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    vocab_size: vocabulary,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100000,
    tie_word_embeddings: true,
    hidden_act: 'silu',
  });
}

/** bf16 weights for a config of the Llama kind: ±1 / sqrt(in), norms near one. */
export function randomTensors(config: ModelConfig): TensorSource {
  const infos = new Map<string, TensorInfo>();
  const add = (name: string, shape: number[]): void => {
    const byteLength = 2 * shape.reduce((product, size) => product * size, 1);
    infos.set(name, { name, dtype: 'BF16', shape, byteLength });
  };
  const { hiddenSize, vocabSize } = config;
  const names = outerNames(config);
  const norms = layerNorms(config);
  add(names.embedding, [vocabSize, hiddenSize]);
  for (let index = 0; index < config.numLayers; index++) {
    const prefix = layerPrefix(config, index);
    add(`${prefix}.${norms.attention}.weight`, [hiddenSize]);
    add(`${prefix}.${norms.mlp}.weight`, [hiddenSize]);
    for (const { path, in: inSize, out } of layerLinears(config))
      add(`${prefix}.${path}.weight`, [out, inSize]);
  }
  add(`${names.finalNorm}.weight`, [hiddenSize]);
  const order = [...infos.keys()];
  return {
    list: () => [...infos.values()],
    get: (name) => infos.get(name),
    read: (name) => {
      const shape = infos.get(name)?.shape ?? [];
      const count = shape.reduce((product, size) => product * size, 1);
      return Promise.resolve(randomBf16(order.indexOf(name), count, 1 / Math.sqrt(shape.at(-1) ?? 1)));
    },
  };
}

/** Loads a model of this shape. */
export function loadRandom(device: GPUDevice, config: ModelConfig): Promise<BaseModel> {
  return loadBaseModel(device, { config, tensors: randomTensors(config) });
}

/** Rank 8 on all linear layers. */
export function loraSettings(config: ModelConfig): LoraSettings {
  return {
    rank: 8,
    alpha: 16,
    dropout: 0,
    rslora: false,
    targetModules: resolveTargets(config, 'all-linear'),
    rankPattern: {},
    alphaPattern: {},
  };
}
