/** Loads a model's weights tensor by tensor: read, checked, re-tiled straight into the mapped GPU buffer. */
import { StudioError } from '../../errors.ts';
import type { FloatDtype, TensorSource } from '../../formats/tensors.ts';
import type { BufferPool } from '../gpu/buffers.ts';
import { STORAGE_USAGE } from '../gpu/constants.ts';
import { externalTensor, type TensorRef } from '../gpu/plan.ts';
import type { ModelConfig } from './config.ts';
import { layerLinears, layerNorms, layerPrefix, outerNames, type LinearSpec } from './modules.ts';
import { blockBytes, packBlocks, toFloat32 } from './packing.ts';
import { refuseModel } from './refuse.ts';

/** A frozen matrix [out, in] in blocks; split by outputs where one binding cannot hold it. */
export interface PackedWeight {
  name: string;
  dtype: FloatDtype;
  out: number;
  in: number;
  parts: { buffer: GPUBuffer; firstOut: number; outs: number; bytes: number }[];
}

export interface FrozenLinear {
  spec: LinearSpec;
  /** Full path, such as `model.layers.0.self_attn.q_proj`: what an adapter's tensors are named after. */
  path: string;
  weight: PackedWeight;
  bias: TensorRef | null;
}

export interface NormWeights {
  weight: TensorRef;
  bias: TensorRef | null;
}

export interface LayerWeights {
  attentionNorm: NormWeights;
  mlpNorm: NormWeights;
  /** RMSNorm of each query and key head (Qwen3). */
  queryNorm: TensorRef | null;
  keyNorm: TensorRef | null;
  linears: FrozenLinear[];
}

export interface ModelWeights {
  embedding: PackedWeight;
  positions: PackedWeight | null;
  layers: LayerWeights[];
  finalNorm: NormWeights;
  head: PackedWeight;
  parameters: number;
  bytes: number;
}

/** Prefixes that some repositories leave out or add. */
const OPTIONAL_PREFIXES = ['transformer.', 'model.'];

export class WeightLoader {
  readonly #pool: BufferPool;
  readonly #tensors: TensorSource;
  readonly #config: ModelConfig;
  readonly #onProgress: (done: number, total: number) => void;
  readonly #total: number;
  #done = 0;
  #parameters = 0;

  constructor(
    pool: BufferPool,
    config: ModelConfig,
    tensors: TensorSource,
    onProgress: (done: number, total: number) => void,
  ) {
    this.#pool = pool;
    this.#config = config;
    this.#tensors = tensors;
    this.#onProgress = onProgress;
    this.#total = tensors.list().reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** Loads everything. Throws WEIGHTS_INVALID for a missing tensor, a wrong shape or a value that is no number. */
  async load(): Promise<ModelWeights> {
    const { hiddenSize, vocabSize, maxPositions, numLayers } = this.#config;
    const before = this.#pool.bytes;
    const names = outerNames(this.#config);
    const embedding = await this.#matrix(names.embedding, vocabSize, hiddenSize, false);
    const positions = names.positions
      ? await this.#matrix(names.positions, maxPositions, hiddenSize, false)
      : null;
    const layers: LayerWeights[] = [];
    for (let index = 0; index < numLayers; index++) layers.push(await this.#layer(index));
    const finalNorm = await this.#norm(names.finalNorm);
    const head = names.head ? await this.#matrix(names.head, vocabSize, hiddenSize, false) : embedding;
    return {
      embedding,
      positions,
      layers,
      finalNorm,
      head,
      parameters: this.#parameters,
      bytes: this.#pool.bytes - before,
    };
  }

  async #layer(index: number): Promise<LayerWeights> {
    const prefix = layerPrefix(this.#config, index);
    const norms = layerNorms(this.#config);
    const attentionNorm = await this.#norm(`${prefix}.${norms.attention}`);
    const mlpNorm = await this.#norm(`${prefix}.${norms.mlp}`);
    const headNorm = async (name: string): Promise<TensorRef | null> =>
      this.#config.qkNorm ? this.#vector(`${prefix}.self_attn.${name}.weight`, this.#config.headDim) : null;
    const queryNorm = await headNorm('q_norm');
    const keyNorm = await headNorm('k_norm');
    const linears: FrozenLinear[] = [];
    for (const spec of layerLinears(this.#config)) {
      const path = `${prefix}.${spec.path}`;
      const weight = await this.#matrix(`${path}.weight`, spec.out, spec.in, spec.transposed);
      const bias = this.#find(`${path}.bias`) ? await this.#vector(`${path}.bias`, spec.out) : null;
      linears.push({ spec, path, weight, bias });
    }
    return { attentionNorm, mlpNorm, queryNorm, keyNorm, linears };
  }

  async #norm(name: string): Promise<NormWeights> {
    const { hiddenSize, norm } = this.#config;
    const weight = await this.#vector(`${name}.weight`, hiddenSize);
    return { weight, bias: norm === 'layer' ? await this.#vector(`${name}.bias`, hiddenSize) : null };
  }

  /** A vector as float32. */
  async #vector(name: string, length: number): Promise<TensorRef> {
    const { dtype, bytes } = await this.#read(name, [length]);
    return externalTensor(
      name,
      this.#pool.createWith(`weights ${name}`, toFloat32(name, dtype, bytes)),
      1,
      length,
    );
  }

  async #matrix(name: string, out: number, inSize: number, transposed: boolean): Promise<PackedWeight> {
    const { dtype, bytes } = await this.#read(name, transposed ? [inSize, out] : [out, inSize]);
    const raw = { name, dtype, out, in: inSize, transposed, bytes };
    const bytesPerOut4 = Math.ceil(inSize / 4) * blockBytes(dtype);
    const largest = Math.min(
      this.#pool.device.limits.maxStorageBufferBindingSize,
      this.#pool.device.limits.maxBufferSize,
    );
    const outsPerPart = Math.floor(largest / bytesPerOut4) * 4;
    const parts: PackedWeight['parts'] = [];
    for (let firstOut = 0; firstOut < out; firstOut += outsPerPart) {
      const outs = Math.min(outsPerPart, out - firstOut);
      const size = Math.ceil(outs / 4) * bytesPerOut4;
      const buffer = this.#pool.create(`weights ${name}`, size, STORAGE_USAGE, true);
      packBlocks(raw, firstOut, outs, buffer.getMappedRange());
      buffer.unmap();
      parts.push({ buffer, firstOut, outs, bytes: size });
    }
    return { name, dtype, out, in: inSize, parts };
  }

  #find(name: string): string | undefined {
    const spellings = [
      name,
      ...OPTIONAL_PREFIXES.flatMap((prefix) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : [])),
    ];
    return spellings.find((spelling) => this.#tensors.get(spelling) !== undefined);
  }

  async #read(
    name: string,
    shape: readonly number[],
  ): Promise<{ dtype: FloatDtype; bytes: Uint8Array<ArrayBuffer> }> {
    const found = this.#find(name);
    const info = found === undefined ? undefined : this.#tensors.get(found);
    if (!info) invalid(`The model has no weight ${name}`);
    if (info.shape.length !== shape.length || info.shape.some((size, index) => size !== shape[index])) {
      invalid(
        `The weight ${name} has the shape [${info.shape.join(', ')}]; config.json asks for [${shape.join(', ')}]`,
      );
    }
    const { dtype } = info;
    if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16')
      refuseModel(`${dtype} weights (${name}); F32, F16 and BF16 are read`);
    const bytes = await this.#tensors.read(info.name);
    this.#done += bytes.byteLength;
    this.#parameters += shape.reduce((product, size) => product * size, 1);
    this.#onProgress(this.#done, this.#total);
    return { dtype, bytes };
  }
}

function invalid(message: string): never {
  throw new StudioError({
    code: 'WEIGHTS_INVALID',
    message: `${message}.`,
    fix: 'Use a complete copy of the model.',
  });
}
