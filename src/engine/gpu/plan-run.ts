/** A built plan: replays its dispatches, cut into submits that stay short on the GPU at hand. */
import type { BufferPool } from './buffers.ts';
import type { TensorRef } from './tensor-ref.ts';

export type PlanStep =
  | {
      name: string;
      pipeline: GPUComputePipeline;
      bindGroup: GPUBindGroup;
      grid: readonly [number, number, number];
      flops: number;
    }
  | { clear: { buffer: GPUBuffer; offset: number; size: number } };

/** A submit should keep the GPU busy for about this long at most (engine.md section 9). */
const TARGET_SUBMIT_MS = 50;
/** Assumed until measured: slow enough for any GPU. */
const INITIAL_FLOPS_PER_MS = 2e6;

/** How fast this device runs plans; shared by all plans of a device and refined by every measured step. */
export class SubmitPace {
  flopsPerMs = INITIAL_FLOPS_PER_MS;

  /** Takes one measurement in; slow ones count at once, fast ones by half. */
  measured(flops: number, milliseconds: number): void {
    if (milliseconds <= 0 || flops <= 0) return;
    const rate = flops / milliseconds;
    this.flopsPerMs = rate < this.flopsPerMs ? rate : (this.flopsPerMs + rate) / 2;
  }

  get flopsPerSubmit(): number {
    return this.flopsPerMs * TARGET_SUBMIT_MS;
  }
}

export class Plan {
  readonly label: string;
  readonly #pool: BufferPool;
  readonly #steps: readonly PlanStep[];
  readonly #phases: ReadonlyMap<string, [number, number]>;
  readonly #locate: (ref: TensorRef) => GPUBufferBinding;
  readonly #owned: readonly GPUBuffer[];

  constructor(
    pool: BufferPool,
    label: string,
    steps: readonly PlanStep[],
    phases: ReadonlyMap<string, [number, number]>,
    locate: (ref: TensorRef) => GPUBufferBinding,
    owned: readonly GPUBuffer[],
  ) {
    this.#pool = pool;
    this.label = label;
    this.#steps = steps;
    this.#phases = phases;
    this.#locate = locate;
    this.#owned = owned;
  }

  /** Floating-point operations of a phase, or of the whole plan. */
  flops(phase?: string): number {
    const [from, to] = this.#range(phase);
    return this.#steps.slice(from, to).reduce((sum, step) => sum + ('flops' in step ? step.flops : 0), 0);
  }

  /** Dispatches of the whole plan. */
  get dispatches(): number {
    return this.#steps.length;
  }

  /** What it replays, in order: for profiles. */
  get steps(): readonly PlanStep[] {
    return this.#steps;
  }

  /** Where a tensor of this plan lies: to fill it or read it back. */
  locate(ref: TensorRef): { buffer: GPUBuffer; offset: number } {
    const { buffer, offset = 0 } = this.#locate(ref);
    return { buffer, offset };
  }

  /** Encodes and submits a phase (or everything). Returns at once; the work is queued. */
  run(pace: SubmitPace, phase?: string): void {
    const [from, to] = this.#range(phase);
    const { device } = this.#pool;
    const limit = pace.flopsPerSubmit;
    let encoder = device.createCommandEncoder({ label: this.label });
    let pass: GPUComputePassEncoder | undefined;
    let flops = 0;
    for (let index = from; index < to; index++) {
      const step = this.#steps[index];
      if (!step) continue;
      if ('clear' in step) {
        pass?.end();
        pass = undefined;
        encoder.clearBuffer(step.clear.buffer, step.clear.offset, step.clear.size);
        continue;
      }
      if (flops > 0 && flops + step.flops > limit) {
        pass?.end();
        pass = undefined;
        device.queue.submit([encoder.finish()]);
        encoder = device.createCommandEncoder({ label: this.label });
        flops = 0;
      }
      pass ??= encoder.beginComputePass({ label: this.label });
      pass.setPipeline(step.pipeline);
      pass.setBindGroup(0, step.bindGroup);
      pass.dispatchWorkgroups(...step.grid);
      flops += step.flops;
    }
    pass?.end();
    device.queue.submit([encoder.finish()]);
  }

  #range(phase?: string): [number, number] {
    if (phase === undefined) return [0, this.#steps.length];
    const range = this.#phases.get(phase);
    if (!range) throw new Error(`The plan ${this.label} has no phase ${phase}.`);
    return range;
  }

  /** Destroys the arena; weights and adapters stay. */
  dispose(): void {
    for (const buffer of this.#owned) this.#pool.destroy(buffer);
  }
}
