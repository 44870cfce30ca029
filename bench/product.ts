/** One of the engine's products with a frozen weight, alone: the subject of the GEMM part. */
import { createBatchBuffer, writeBatch } from '../src/engine/gpu/batch.ts';
import { BufferPool } from '../src/engine/gpu/buffers.ts';
import { KernelCache } from '../src/engine/gpu/kernels.ts';
import { externalTensor, PlanBuilder } from '../src/engine/gpu/plan.ts';
import { blockBytes, packBlocks } from '../src/engine/model/packing.ts';
import type { PackedWeight } from '../src/engine/model/weights.ts';
import { gemmBackward, gemmForward, type GemmVariant } from '../src/engine/ops/gemm.ts';
import type { FloatDtype } from '../src/formats/tensors.ts';
import { randomBf16, randomFloats } from './random.ts';
import { dispatchesOf, replay } from './replay.ts';
import type { Subject } from './timing.ts';

export type Direction = 'forward' | 'backward';

export interface ProductShape {
  tokens: number;
  in: number;
  out: number;
  dtype: FloatDtype;
}

/** Makes products on one device; `dispose` frees what they hold. */
export class ProductBench {
  readonly device: GPUDevice;
  readonly #kernels: KernelCache;
  #pool: BufferPool;
  #batch: GPUBuffer | undefined;

  constructor(device: GPUDevice, kernels = new KernelCache(device)) {
    this.device = device;
    this.#kernels = kernels;
    this.#pool = new BufferPool(device);
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
    if (direction === 'forward') gemmForward(plan, { x, weight }, y, { variant });
    else gemmBackward(plan, { dy: y, weight, accumulate: false }, x, { variant });
    const name = `${direction} ${variant}`;
    const built = await plan.build(name);
    return replay(this.device, name, dispatchesOf(built.steps));
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
