/** The trainable state: flat float32 buffers of one layout for parameters, gradients and both Adam moments. */
import type { Adapter, LoraSettings } from '../../formats/adapter.ts';
import { readBuffer, type BufferPool } from '../gpu/buffers.ts';
import { externalTensor, type TensorRef } from '../gpu/plan.ts';
import { layoutAdapter, packAdapter, unpackAdapter, type AdapterLayout } from '../model/adapter-layout.ts';
import type { ModelConfig } from '../model/config.ts';
import { dropoutConstants, type AdapterSlot } from '../ops/lora.ts';
import { initialParameters } from './initialise.ts';

export class AdapterState {
  readonly settings: LoraSettings;
  readonly layout: AdapterLayout;
  readonly params: GPUBuffer;
  readonly grads: GPUBuffer;
  readonly expAvg: GPUBuffer;
  readonly expAvgSq: GPUBuffer;
  readonly #pool: BufferPool;
  readonly #slots = new Map<string, AdapterSlot>();

  /** Starts from `tensors`, or fresh from `seed`. Throws ADAPTER_MISMATCH when the tensors do not fit the model. */
  constructor(
    pool: BufferPool,
    config: ModelConfig,
    settings: LoraSettings,
    start: { tensors: Adapter['tensors'] } | { seed: number },
  ) {
    this.#pool = pool;
    this.settings = settings;
    this.layout = layoutAdapter(config, settings);
    const flat =
      'tensors' in start ? packAdapter(this.layout, start) : initialParameters(this.layout, start.seed);
    const bytes = this.layout.floats * 4;
    this.params = pool.createWith('adapter parameters', flat);
    this.grads = pool.create('adapter gradients', bytes);
    this.expAvg = pool.create('adapter exp_avg', bytes);
    this.expAvgSq = pool.create('adapter exp_avg_sq', bytes);
    const dropout = dropoutConstants(settings.dropout);
    this.layout.modules.forEach((module, index) => {
      const { path, rank4, scale, in: inSize, out, aOffset, bOffset } = module;
      const a = (buffer: GPUBuffer): TensorRef =>
        externalTensor(`${path} A`, buffer, rank4 * 4, inSize, aOffset * 4);
      const b = (buffer: GPUBuffer): TensorRef =>
        externalTensor(`${path} B`, buffer, Math.ceil(out / 4) * 4, rank4 * 4, bOffset * 4);
      const factors = { a: a(this.params), b: b(this.params), gradA: a(this.grads), gradB: b(this.grads) };
      this.#slots.set(path, { index, path, rank4, scale, dropout, ...factors });
    });
  }

  /** The adapter of a linear layer, if it has one. */
  slot(path: string): AdapterSlot | null {
    return this.#slots.get(path) ?? null;
  }

  /** Reads the adapter back, in PEFT's order. */
  async tensors(from: 'params' | 'grads' | 'expAvg' | 'expAvgSq' = 'params'): Promise<Adapter['tensors']> {
    const bytes = await readBuffer(this.#pool, this[from], 0, this.layout.floats * 4);
    return unpackAdapter(this.layout, new Float32Array(bytes));
  }

  dispose(): void {
    for (const buffer of [this.params, this.grads, this.expAvg, this.expAvgSq]) this.#pool.destroy(buffer);
  }
}
