/** Small results come back through a ring of mapped buffers, so that reading one step does not stall the next. */
import type { BufferPool } from './buffers.ts';
import { BufferUsage, MAP_READ_MODE } from './constants.ts';

export class ReadbackRing {
  readonly #pool: BufferPool;
  readonly #free: GPUBuffer[] = [];
  readonly #bytes: number;
  readonly #waiting: ((buffer: GPUBuffer) => void)[] = [];

  /** `slots` reads of at most `bytes` each can be under way at once. */
  constructor(pool: BufferPool, bytes: number, slots = 3) {
    this.#pool = pool;
    this.#bytes = bytes;
    for (let i = 0; i < slots; i++) {
      this.#free.push(pool.create('staging ring', bytes, BufferUsage.MAP_READ | BufferUsage.COPY_DST));
    }
  }

  /** Queues a copy of `[offset, offset + bytes)` now; the promise gives the bytes once the GPU got there. */
  async read(source: GPUBuffer, offset: number, bytes: number): Promise<ArrayBuffer> {
    if (bytes > this.#bytes)
      throw new Error(`A read of ${bytes} bytes does not fit a ring slot of ${this.#bytes}.`);
    const slot = this.#free.pop() ?? (await new Promise<GPUBuffer>((resolve) => this.#waiting.push(resolve)));
    const encoder = this.#pool.device.createCommandEncoder({ label: 'readback' });
    encoder.copyBufferToBuffer(source, offset, slot, 0, Math.ceil(bytes / 4) * 4);
    this.#pool.device.queue.submit([encoder.finish()]);
    try {
      await slot.mapAsync(MAP_READ_MODE);
      const copy = slot.getMappedRange().slice(0, bytes);
      slot.unmap();
      return copy;
    } finally {
      const next = this.#waiting.shift();
      if (next) next(slot);
      else this.#free.push(slot);
    }
  }

  dispose(): void {
    for (const slot of this.#free) this.#pool.destroy(slot);
    this.#free.length = 0;
  }
}
