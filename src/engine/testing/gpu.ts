/** Test set-up: a real device from Dawn in Node, error scopes and a leak check around every test. Tests only. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { create, globals } from 'webgpu';
import { createBatchBuffer, writeBatch, type BatchNumbers } from '../gpu/batch.ts';
import { BufferPool, readBuffer } from '../gpu/buffers.ts';
import { describeAdapter, requestEngineDevice, type DeviceInfo } from '../gpu/device.ts';
import { KernelCache } from '../gpu/kernels.ts';
import { PlanBuilder, externalTensor, externalWords, paddedCols, type TensorRef } from '../gpu/plan.ts';
import { SubmitPace } from '../gpu/plan-run.ts';

Object.assign(globalThis, globals);

/** Kept reachable: when Dawn's GPU object is collected, later calls crash the process (engine.md section 12). */
const gpu = create([]);

let sharedDevice: GPUDevice | undefined;
let sharedKernels: KernelCache | undefined;
let sharedInfo: DeviceInfo | undefined;

/** Call once at the top of a test file: opens the device, prints the adapter, closes it at the end. */
export function useGpu(): void {
  beforeAll(async () => {
    const adapter = await gpu.requestAdapter({});
    if (!adapter)
      throw new Error('No WebGPU adapter. Point VK_ICD_FILENAMES at a Vulkan driver (npm test does it).');
    sharedInfo = describeAdapter(adapter);
    process.stderr.write(`GPU: ${sharedInfo.name}\n`);
    sharedDevice = await requestEngineDevice(adapter);
    sharedKernels = new KernelCache(sharedDevice);
  });
  afterAll(() => sharedDevice?.destroy());
}

/** The device of this file, for tests that drive more than one op. */
export function testDevice(): GPUDevice {
  if (!sharedDevice) throw new Error('Call useGpu() first.');
  return sharedDevice;
}

/** What the device of this file is. */
export function testInfo(): DeviceInfo {
  if (!sharedInfo) throw new Error('Call useGpu() first.');
  return sharedInfo;
}

/** What one GPU test works with; everything it makes is destroyed after it. */
export class GpuBench {
  readonly pool: BufferPool;
  readonly plan: PlanBuilder;
  readonly #batch: GPUBuffer;

  constructor(device: GPUDevice, kernels: KernelCache) {
    this.pool = new BufferPool(device);
    this.#batch = createBatchBuffer(device);
    this.plan = new PlanBuilder(this.pool, kernels, this.#batch);
  }

  /** A matrix from plain row-major values, padded to the row stride of the engine. */
  matrix(label: string, rows: number, cols: number, values: ArrayLike<number>): TensorRef {
    const stride = paddedCols(cols);
    const padded = new Float32Array(Math.max(4, rows * stride));
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < cols; c++) padded[r * stride + c] = values[r * cols + c] ?? 0;
    return externalTensor(label, this.pool.createWith(label, padded), rows, cols);
  }

  /** Raw 32-bit words. */
  words(label: string, values: Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>): TensorRef {
    return externalWords(label, this.pool.createWith(label, values), values.length);
  }

  /** Builds and runs what was recorded, then reads `outputs` back as plain row-major arrays. */
  async run(outputs: readonly TensorRef[], numbers: Partial<BatchNumbers>): Promise<Float32Array[]> {
    for (const ref of outputs) this.plan.keep(ref);
    writeBatch(this.pool.device, this.#batch, numbers);
    const built = await this.plan.build('test');
    built.run(new SubmitPace());
    return Promise.all(
      outputs.map(async (ref) => {
        const { buffer, offset } = built.locate(ref);
        const stride = paddedCols(ref.cols);
        const padded = new Float32Array(await readBuffer(this.pool, buffer, offset, ref.rows * stride * 4));
        const out = new Float32Array(ref.rows * ref.cols);
        for (let r = 0; r < ref.rows; r++)
          out.set(padded.subarray(r * stride, r * stride + ref.cols), r * ref.cols);
        return out;
      }),
    );
  }

  dispose(): void {
    this.pool[Symbol.dispose]();
    this.#batch.destroy();
  }
}

/** One test inside a validation error scope; fails on any GPU error. */
export function gpuTest(name: string, body: (bench: GpuBench) => Promise<void>): void {
  test(name, async () => {
    const device = testDevice();
    if (!sharedKernels) throw new Error('Call useGpu() first.');
    device.pushErrorScope('validation');
    device.pushErrorScope('out-of-memory');
    const bench = new GpuBench(device, sharedKernels);
    try {
      await body(bench);
    } finally {
      bench.dispose();
    }
    const memory = await device.popErrorScope();
    const validation = await device.popErrorScope();
    expect(memory?.message ?? validation?.message ?? 'no GPU error').toBe('no GPU error');
    expect(bench.pool.bytes).toBe(0);
  });
}
