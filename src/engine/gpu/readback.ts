/**
 * Small results come back through a ring of mapped buffers, so that reading one step does not stall the next. A slot is
 * taken before the work that fills it is submitted; slots are handed out in the order of asking, so work keeps its order.
 */
import type { BufferPool } from './buffers.ts';
import { BufferUsage, MAP_READ_MODE } from './constants.ts';

export interface ReadbackSlot {
  /** Queues a copy of `[offset, offset + bytes)` now; resolves with the bytes once the GPU got there, and frees the slot. */
  read(source: GPUBuffer, offset: number, bytes: number): Promise<ArrayBuffer>;
}

export class ReadbackRing {
  readonly #pool: BufferPool;
  readonly #bytes: number;
  readonly #all: GPUBuffer[];
  readonly #free: GPUBuffer[];
  readonly #waiting: ((buffer: GPUBuffer) => void)[] = [];

  /** `slots` reads of at most `bytes` each can be under way at once; that many pieces of work are in flight at most. */
  constructor(pool: BufferPool, bytes: number, slots = 3) {
    this.#pool = pool;
    this.#bytes = bytes;
    const usage = BufferUsage.MAP_READ | BufferUsage.COPY_DST;
    this.#all = Array.from({ length: slots }, () => pool.create('staging ring', bytes, usage));
    this.#free = [...this.#all];
  }

  /** Waits for a slot. Submit the work right after, without another wait in between. */
  async acquire(): Promise<ReadbackSlot> {
    const free = this.#free.pop();
    const buffer = free ?? (await new Promise<GPUBuffer>((resolve) => this.#waiting.push(resolve)));
    return { read: (source, offset, bytes) => this.#read(buffer, source, offset, bytes) };
  }

  async #read(slot: GPUBuffer, source: GPUBuffer, offset: number, bytes: number): Promise<ArrayBuffer> {
    try {
      if (bytes > this.#bytes)
        throw new Error(`A read of ${bytes} bytes does not fit a slot of ${this.#bytes}.`);
      const encoder = this.#pool.device.createCommandEncoder({ label: 'readback' });
      encoder.copyBufferToBuffer(source, offset, slot, 0, Math.ceil(bytes / 4) * 4);
      this.#pool.device.queue.submit([encoder.finish()]);
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
    for (const buffer of this.#all) this.#pool.destroy(buffer);
  }
}
