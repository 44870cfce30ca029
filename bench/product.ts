/** One of the engine's products with a frozen weight, alone: the subject of the GEMM part. */
import { createBatchBuffer, writeBatch } from '../src/engine/gpu/batch.ts';
import { BufferPool } from '../src/engine/gpu/buffers.ts';
import { KernelCache } from '../src/engine/gpu/kernels.ts';
import { externalTensor, PlanBuilder } from '../src/engine/gpu/plan.ts';
import { SubmitPace } from '../src/engine/gpu/plan-run.ts';
import { blockBytes, packBlocks } from '../src/engine/model/packing.ts';
import type { PackedWeight } from '../src/engine/model/weights.ts';
import { gemmBackward, gemmForward, type GemmVariant } from '../src/engine/ops/gemm.ts';
import type { FloatDtype } from '../src/formats/tensors.ts';
import { randomBf16, randomFloats } from './random.ts';
import type { Subject } from './timing.ts';

export type Direction = 'forward' | 'backward';

export interface ProductShape {
  tokens: number;
  in: number;
  out: number;
  dtype: FloatDtype;
}

/** Dispatches per submit, so that the submit itself does not count. */
const DISPATCHES = 4;

/** Makes products on one device; `dispose` frees what they hold. */
export class ProductBench {
  readonly device: GPUDevice;
  readonly #kernels: KernelCache;
  readonly #pace = new SubmitPace();
  #pool: BufferPool;
  #batch: GPUBuffer | undefined;

  constructor(device: GPUDevice, kernels = new KernelCache(device)) {
    this.device = device;
    this.#kernels = kernels;
    this.#pool = new BufferPool(device);
    // One submit each: nothing is cut.
    this.#pace.flopsPerMs = Number.MAX_SAFE_INTEGER;
  }

  /** A product with random inputs as a subject. */
  async subject(shape: ProductShape, direction: Direction, variant: GemmVariant): Promise<Subject> {
    const { tokens } = shape;
    this.#batch ??= createBatchBuffer(this.device);
    writeBatch(this.device, this.#batch, { tokens, headRows: tokens });
    const plan = new PlanBuilder(this.#pool, this.#kernels, this.#batch);
    const weight = this.#weight(shape);
    const matrix = (label: string, cols: number): ReturnType<typeof externalTensor> =>
      externalTensor(label, this.#pool.createWith(label, randomFloats(cols, tokens * cols)), tokens, cols);
    const x = matrix('x', shape.in);
    const y = matrix('y', shape.out);
    for (let i = 0; i < DISPATCHES; i++) {
      if (direction === 'forward') gemmForward(plan, { x, weight }, y, { variant });
      else gemmBackward(plan, { dy: y, weight, accumulate: false }, x, { variant });
    }
    const built = await plan.build(`${direction} ${variant}`);
    return {
      name: `${direction} ${variant}`,
      flops: built.flops(),
      run: async (repeats) => {
        for (let i = 0; i < repeats; i++) built.run(this.#pace);
        await this.device.queue.onSubmittedWorkDone();
      },
    };
  }

  #weight(shape: ProductShape): PackedWeight {
    const { in: inSize, out, dtype } = shape;
    const name = 'weight';
    const bytes = dtype === 'F32' ? floatBytes(out * inSize) : randomBf16(1, out * inSize);
    const packed = new ArrayBuffer(Math.ceil(out / 4) * Math.ceil(inSize / 4) * blockBytes(dtype));
    packBlocks({ name, dtype, out, in: inSize, transposed: false, bytes }, 0, out, packed);
    const buffer = this.#pool.createWith(name, new Uint8Array(packed));
    return {
      name,
      dtype,
      out,
      in: inSize,
      parts: [{ buffer, firstOut: 0, outs: out, bytes: packed.byteLength }],
    };
  }

  /** Frees the buffers; kernels stay compiled. */
  dispose(): void {
    this.#pool[Symbol.dispose]();
    this.#pool = new BufferPool(this.device);
    this.#batch?.destroy();
    this.#batch = undefined;
  }
}

function floatBytes(count: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(randomFloats(1, count).buffer);
}
