/** The trainable state: flat float32 buffers of one layout for parameters, gradients and both Adam moments. */
import type { Adapter, LoraSettings } from '../../formats/adapter.ts';
import { readBuffer, type BufferPool } from '../gpu/buffers.ts';
import { externalTensor, type TensorRef } from '../gpu/plan.ts';
import { layoutAdapter, packAdapter, unpackAdapter, type AdapterLayout } from '../model/adapter-layout.ts';
import type { ModelConfig } from '../model/config.ts';
import { dropoutConstants, type AdapterSlot } from '../ops/lora.ts';
import { initialParameters } from './initialise.ts';

/** The kinds of flat buffers, by the names of `torch.optim.AdamW`. */
export type FlatKind = 'params' | 'grads' | 'expAvg' | 'expAvgSq';

/** Where a state starts: fresh from a seed, from an adapter's weights (moments zero), or from everything that was saved. */
export type AdapterStart =
  | { seed: number }
  | {
      tensors: Adapter['tensors'];
      moments?: Record<'expAvg' | 'expAvgSq', Adapter['tensors']>;
      grads?: Adapter['tensors'];
    };

const FLAT_KINDS: readonly FlatKind[] = ['params', 'grads', 'expAvg', 'expAvgSq'];

/** Packs a start before anything is allocated or written: a tensor that does not fit is found here. Null is all zeros. */
function packStart(
  layout: AdapterLayout,
  start: AdapterStart,
): Record<FlatKind, Float32Array<ArrayBuffer> | null> {
  const pack = (tensors?: Adapter['tensors']): Float32Array<ArrayBuffer> | null =>
    tensors ? packAdapter(layout, { tensors }) : null;
  const given: Partial<Exclude<AdapterStart, { seed: number }>> = 'seed' in start ? {} : start;
  return {
    params: 'seed' in start ? initialParameters(layout, start.seed) : pack(start.tensors),
    grads: pack(given.grads),
    expAvg: pack(given.moments?.expAvg),
    expAvgSq: pack(given.moments?.expAvgSq),
  };
}

export class AdapterState {
  readonly settings: LoraSettings;
  readonly layout: AdapterLayout;
  readonly params: GPUBuffer;
  readonly grads: GPUBuffer;
  readonly expAvg: GPUBuffer;
  readonly expAvgSq: GPUBuffer;
  readonly #pool: BufferPool;
  readonly #slots = new Map<string, AdapterSlot>();

  /** Throws ADAPTER_MISMATCH when tensors do not fit the model; then nothing stays allocated. */
  constructor(pool: BufferPool, config: ModelConfig, settings: LoraSettings, start: AdapterStart) {
    this.#pool = pool;
    this.settings = settings;
    this.layout = layoutAdapter(config, settings);
    const flat = packStart(this.layout, start);
    const make = (label: string, kind: FlatKind): GPUBuffer => {
      const values = flat[kind];
      if (values) return pool.createWith(`adapter ${label}`, values);
      return pool.create(`adapter ${label}`, this.layout.floats * 4);
    };
    this.params = make('parameters', 'params');
    this.grads = make('gradients', 'grads');
    this.expAvg = make('exp_avg', 'expAvg');
    this.expAvgSq = make('exp_avg_sq', 'expAvgSq');
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
  async tensors(from: FlatKind = 'params'): Promise<Adapter['tensors']> {
    const bytes = await readBuffer(this.#pool, this[from], 0, this.layout.floats * 4);
    return unpackAdapter(this.layout, new Float32Array(bytes));
  }

  /**
   * Queues another state into these buffers: what `start` does not give is zero. Throws ADAPTER_MISMATCH when tensors do
   * not fit; then nothing was changed.
   */
  load(start: AdapterStart): void {
    const flat = packStart(this.layout, start);
    const { device } = this.#pool;
    for (const kind of FLAT_KINDS) {
      const values = flat[kind];
      if (values) device.queue.writeBuffer(this[kind], 0, values);
      else this.clear(kind);
    }
  }

  /** Queues zeros into one of the flat buffers. */
  clear(kind: FlatKind): void {
    const { device } = this.#pool;
    const encoder = device.createCommandEncoder({ label: `clear ${kind}` });
    encoder.clearBuffer(this[kind]);
    device.queue.submit([encoder.finish()]);
  }

  dispose(): void {
    for (const buffer of [this.params, this.grads, this.expAvg, this.expAvgSq]) this.#pool.destroy(buffer);
  }
}
