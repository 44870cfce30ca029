/** Owns GPU buffers: every buffer of the engine is made here, labelled, counted and destroyed here. */
import { StudioError } from '../../errors.ts';
import { BufferUsage, MAP_READ_MODE, STORAGE_USAGE } from './constants.ts';

export class BufferPool implements Disposable {
  readonly device: GPUDevice;
  readonly #live = new Map<GPUBuffer, { label: string; size: number }>();
  #bytes = 0;
  #peak = 0;
  #created = 0;

  constructor(device: GPUDevice) {
    this.device = device;
  }

  /** Bytes of all live buffers. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The most bytes that were live at once. */
  get peakBytes(): number {
    return this.#peak;
  }

  /** Buffers made so far; a training step must not move it. */
  get created(): number {
    return this.#created;
  }

  /** Live bytes by the first word of the label: `weights`, `arena`, `adapter`, … */
  byKind(): Record<string, number> {
    const kinds: Record<string, number> = {};
    for (const { label, size } of this.#live.values()) {
      const kind = label.split(' ')[0] ?? label;
      kinds[kind] = (kinds[kind] ?? 0) + size;
    }
    return kinds;
  }

  /** Makes a buffer; sizes round up to 16 bytes. Throws GPU_LIMIT above the device's largest buffer. */
  create(label: string, bytes: number, usage: number = STORAGE_USAGE, mapped = false): GPUBuffer {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    if (size > this.device.limits.maxBufferSize) {
      throw new StudioError({
        code: 'GPU_LIMIT',
        message: `The buffer "${label}" needs ${size} bytes; this GPU allows ${this.device.limits.maxBufferSize} in one buffer.`,
        fix: 'Choose a smaller model, a shorter maximum length or a smaller rank.',
      });
    }
    const buffer = this.device.createBuffer({ label, size, usage, mappedAtCreation: mapped });
    this.#live.set(buffer, { label, size });
    this.#bytes += size;
    this.#peak = Math.max(this.#peak, this.#bytes);
    this.#created += 1;
    return buffer;
  }

  /** Makes a storage buffer that holds `data`. */
  createWith(label: string, data: ArrayBufferView<ArrayBuffer>): GPUBuffer {
    const buffer = this.create(label, data.byteLength, STORAGE_USAGE, true);
    new Uint8Array(buffer.getMappedRange()).set(
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    );
    buffer.unmap();
    return buffer;
  }

  /** Destroys one buffer of this pool; twice is harmless. */
  destroy(buffer: GPUBuffer): void {
    const entry = this.#live.get(buffer);
    if (!entry) return;
    this.#live.delete(buffer);
    this.#bytes -= entry.size;
    buffer.destroy();
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#live.keys()) this.destroy(buffer);
  }
}

/** Copies bytes out of a buffer; for set-up, checkpoints and tests, not for the step (that uses `ReadbackRing`). */
export async function readBuffer(
  pool: BufferPool,
  source: GPUBuffer,
  offset: number,
  bytes: number,
): Promise<ArrayBuffer> {
  const staging = pool.create('staging read', bytes, BufferUsage.MAP_READ | BufferUsage.COPY_DST);
  try {
    const encoder = pool.device.createCommandEncoder({ label: 'read' });
    encoder.copyBufferToBuffer(source, offset, staging, 0, Math.ceil(bytes / 4) * 4);
    pool.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ_MODE);
    return staging.getMappedRange().slice(0, bytes);
  } finally {
    pool.destroy(staging);
  }
}
