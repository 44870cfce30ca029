/** Where keys and values of texts lie while they are decoded: `maxLen` rows for each text in the buffers of every layer. */
import type { BufferPool } from '../gpu/buffers.ts';
import { externalTensor, type TensorRef } from '../gpu/plan.ts';
import type { ModelConfig } from '../model/config.ts';

/** What the caches of all layers may take together before fewer texts are decoded at once. */
const MOST_BYTES = 256 * 2 ** 20;

/** How many of the texts asked for are decoded side by side: as many as the caches and a binding have room for, at least one. */
export function textsAtOnce(pool: BufferPool, config: ModelConfig, maxLen: number, wanted: number): number {
  const bytes = maxLen * config.numKvHeads * config.headDim * 4;
  const { maxStorageBufferBindingSize, maxBufferSize } = pool.device.limits;
  const room = Math.min(MOST_BYTES / (2 * config.numLayers), maxStorageBufferBindingSize, maxBufferSize);
  return Math.max(1, Math.min(wanted, Math.floor(room / bytes)));
}

export class KvCache {
  readonly texts: number;
  readonly maxLen: number;
  /** [texts * maxLen, kvHeads * headDim] each */
  readonly layers: readonly { k: TensorRef; v: TensorRef }[];
  readonly #pool: BufferPool;
  readonly #buffers: GPUBuffer[] = [];

  constructor(pool: BufferPool, config: ModelConfig, maxLen: number, texts: number) {
    this.#pool = pool;
    this.texts = texts;
    this.maxLen = maxLen;
    const rows = texts * maxLen;
    const width = config.numKvHeads * config.headDim;
    const cache = (name: string): TensorRef => {
      const buffer = pool.create(`cache ${name}`, rows * width * 4);
      this.#buffers.push(buffer);
      return externalTensor(name, buffer, rows, width);
    };
    this.layers = Array.from({ length: config.numLayers }, (_, index) => ({
      k: cache(`k ${String(index)}`),
      v: cache(`v ${String(index)}`),
    }));
  }

  dispose(): void {
    for (const buffer of this.#buffers) this.#pool.destroy(buffer);
  }
}
