/**
 * A step plan: a fixed list of dispatches over buffers with baked shapes. Building it compiles and allocates;
 * running it only encodes and submits. Ops record into a `PlanBuilder`; nothing runs while they do.
 */
import { planSlots, type Interval } from './arena.ts';
import type { BufferPool } from './buffers.ts';
import { BufferUsage } from './constants.ts';
import type { KernelCache, KernelSpec } from './kernels.ts';
import { Plan, type PlanStep } from './plan-run.ts';
import type { TensorRef } from './tensor-ref.ts';
import { packParams } from './wgsl.ts';

export type { TensorRef } from './tensor-ref.ts';

export interface DispatchSpec {
  kernel: KernelSpec;
  /** Every storage binding of the kernel by its WGSL name. */
  bindings: Readonly<Record<string, TensorRef>>;
  /** Every field of the kernel's `Params`. */
  params?: Readonly<Record<string, number>>;
  /** Workgroups. */
  grid: readonly [number, number, number];
  /** Floating-point operations, for slicing submits; 0 when negligible. */
  flops?: number;
}

type Recorded = { dispatch: DispatchSpec } | { clear: TensorRef };

const UNIFORM_ALIGNMENT = 256;

/** `cols` rounded up to whole vec4s: the row stride of every activation, in floats. */
export function paddedCols(cols: number): number {
  return Math.ceil(cols / 4) * 4;
}

export class PlanBuilder {
  readonly pool: BufferPool;
  readonly #kernels: KernelCache;
  readonly #batch: GPUBuffer;
  readonly #steps: Recorded[] = [];
  readonly #phases = new Map<string, [number, number]>();
  readonly #arena: { label: string; bytes: number; first: number; last: number; keep: boolean }[] = [];

  /** `batch` is the uniform of `shaders/lib/batch.wgsl`. */
  constructor(pool: BufferPool, kernels: KernelCache, batch: GPUBuffer) {
    this.pool = pool;
    this.#kernels = kernels;
    this.#batch = batch;
  }

  /**
   * An activation of the plan's arena, alive from the first to the last step that touches it; its slot is shared with
   * tensors that do not live at the same time.
   */
  tensor(label: string, rows: number, cols: number): TensorRef {
    const bytes = Math.max(16, rows * paddedCols(cols) * 4);
    this.#arena.push({ label, bytes, first: -1, last: -1, keep: false });
    return { label, rows, cols, bytes, place: { arena: this.#arena.length - 1 } };
  }

  /** Keeps a tensor alive until the end of the plan, to be read from outside. */
  keep(ref: TensorRef): TensorRef {
    const entry = 'arena' in ref.place ? this.#arena[ref.place.arena] : undefined;
    if (entry) entry.keep = true;
    return ref;
  }

  /** Records one dispatch. Throws when a binding is missing or unknown, so that mistakes show while building. */
  dispatch(spec: DispatchSpec): void {
    const { name } = spec.kernel;
    const { bindings } = this.#kernels.source(spec.kernel);
    for (const [binding, { kind }] of bindings) {
      if (kind === 'storage' && !(binding in spec.bindings))
        throw new Error(`${name}: nothing is bound to ${binding}.`);
    }
    for (const [binding, ref] of Object.entries(spec.bindings)) {
      if (!bindings.has(binding)) throw new Error(`${name}: has no binding ${binding}.`);
      this.#touch(ref);
    }
    if (spec.grid.some((size) => size < 1 || size > 65535))
      throw new Error(`${name}: grid ${spec.grid.join('x')}.`);
    this.#steps.push({ dispatch: spec });
  }

  /** Records setting a tensor to zero. */
  clear(ref: TensorRef): void {
    this.#touch(ref);
    this.#steps.push({ clear: ref });
  }

  /** Names what `record` records, so that a run can ask for this part alone. */
  phase(name: string, record: () => void): void {
    const from = this.#steps.length;
    record();
    this.#phases.set(name, [from, this.#steps.length]);
  }

  #touch(ref: TensorRef): void {
    if (!('arena' in ref.place)) return;
    const entry = this.#arena[ref.place.arena];
    if (!entry) throw new Error(`${ref.label} belongs to another plan.`);
    const at = this.#steps.length;
    if (entry.first < 0) entry.first = at;
    entry.last = at;
  }

  /** Bytes that the arena will take. */
  arenaBytes(): number {
    return planSlots(this.#intervals()).slots.reduce((sum, bytes) => sum + bytes, 0);
  }

  #intervals(): Interval[] {
    const end = this.#steps.length;
    return this.#arena.map(({ bytes, first, last, keep }) => ({
      bytes,
      first: Math.max(first, 0),
      last: keep ? end : Math.max(last, 0),
    }));
  }

  /** Compiles the kernels, allocates the arena, makes the bind groups. */
  async build(label: string): Promise<Plan> {
    const { slots, slotOf } = planSlots(this.#intervals());
    const buffers = slots.map((bytes, index) => this.pool.create(`arena ${label} ${index}`, bytes));
    const locate = (ref: TensorRef): GPUBufferBinding => {
      if ('buffer' in ref.place)
        return { buffer: ref.place.buffer, offset: ref.place.offset, size: ref.bytes };
      const buffer = buffers[slotOf[ref.place.arena] ?? -1];
      if (!buffer) throw new Error(`${ref.label} has no slot.`);
      return { buffer, offset: 0, size: ref.bytes };
    };
    const uniforms = this.#packUniforms(label);
    const steps = await Promise.all(
      this.#steps.map(async (step, index): Promise<PlanStep> => {
        if ('clear' in step) {
          const { buffer, offset = 0 } = locate(step.clear);
          return { clear: { buffer, offset, size: step.clear.bytes } };
        }
        return this.#bind(step.dispatch, locate, uniforms.buffer, uniforms.offsets[index] ?? 0);
      }),
    );
    return new Plan(this.pool, label, steps, this.#phases, locate, [...buffers, uniforms.buffer]);
  }

  /** Lays all `Params` of the plan into one uniform buffer. */
  #packUniforms(label: string): { buffer: GPUBuffer; offsets: number[] } {
    const blocks: ArrayBuffer[] = [];
    const offsets = this.#steps.map((step) => {
      if ('clear' in step) return 0;
      const { kernel, params = {} } = step.dispatch;
      const fields = this.#kernels.source(kernel).params;
      blocks.push(packParams(kernel.name, fields, params));
      return (blocks.length - 1) * UNIFORM_ALIGNMENT;
    });
    const bytes = new Uint8Array(Math.max(1, blocks.length) * UNIFORM_ALIGNMENT);
    blocks.forEach((block, index) => bytes.set(new Uint8Array(block), index * UNIFORM_ALIGNMENT));
    const buffer = this.pool.create(
      `uniforms ${label}`,
      bytes.byteLength,
      BufferUsage.UNIFORM | BufferUsage.COPY_DST,
    );
    this.pool.device.queue.writeBuffer(buffer, 0, bytes);
    return { buffer, offsets };
  }

  async #bind(
    spec: DispatchSpec,
    locate: (ref: TensorRef) => GPUBufferBinding,
    uniforms: GPUBuffer,
    offset: number,
  ): Promise<PlanStep> {
    const { pipeline, source } = await this.#kernels.get(spec.kernel);
    const entries = [...source.bindings].map(([name, { index }]): GPUBindGroupEntry => {
      if (name === 'batch') return { binding: index, resource: { buffer: this.#batch } };
      if (name === 'params')
        return { binding: index, resource: { buffer: uniforms, offset, size: UNIFORM_ALIGNMENT } };
      const ref = spec.bindings[name];
      if (!ref) throw new Error(`${spec.kernel.name}: nothing is bound to ${name}.`);
      return { binding: index, resource: locate(ref) };
    });
    const bindGroup = this.pool.device.createBindGroup({
      label: spec.kernel.name,
      layout: pipeline.getBindGroupLayout(0),
      entries,
    });
    return { name: spec.kernel.name, pipeline, bindGroup, grid: spec.grid, flops: spec.flops ?? 0 };
  }
}

/** A tensor in a buffer that outlives the plan: weights, adapter slices, inputs. */
export function externalTensor(
  label: string,
  buffer: GPUBuffer,
  rows: number,
  cols: number,
  offset = 0,
): TensorRef {
  return { label, rows, cols, bytes: Math.max(16, rows * paddedCols(cols) * 4), place: { buffer, offset } };
}

/** Raw words of a buffer, whatever they mean: packed weights, token ids. */
export function externalWords(label: string, buffer: GPUBuffer, words: number, offset = 0): TensorRef {
  return {
    label,
    rows: 1,
    cols: words,
    bytes: Math.max(16, Math.ceil(words / 4) * 16),
    place: { buffer, offset },
  };
}
