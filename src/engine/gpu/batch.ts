/** The small uniform shared by all kernels of a plan: the numbers that change with every micro-batch. */
import { BufferUsage } from './constants.ts';

export interface BatchNumbers {
  /** Rows of the token axis in use. */
  tokens: number;
  /** Rows that reach the output head. */
  headRows: number;
  /** Rows already in the key/value cache; 0 while training. */
  keyOffset: number;
  /** Keys of the dropout generator. */
  seed: number;
  step: number;
  micro: number;
  /** Multiplies the adapter's scale: 1, or 0 for the base model. */
  adapterScale: number;
  /** Number of the loss in `LOSS_NAMES`; 0 is cross-entropy. */
  loss: number;
}

const BATCH_BYTES = 32;

/** Makes the uniform buffer of `shaders/lib/batch.wgsl`. */
export function createBatchBuffer(device: GPUDevice): GPUBuffer {
  return device.createBuffer({
    label: 'batch',
    size: BATCH_BYTES,
    usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
  });
}

/** Writes the numbers in the order of `struct Batch`. */
export function writeBatch(device: GPUDevice, buffer: GPUBuffer, numbers: Partial<BatchNumbers>): void {
  const view = new DataView(new ArrayBuffer(BATCH_BYTES));
  const words = [
    numbers.tokens,
    numbers.headRows,
    numbers.keyOffset,
    numbers.seed,
    numbers.step,
    numbers.micro,
  ];
  words.forEach((value, index) => view.setUint32(index * 4, value ?? 0, true));
  view.setFloat32(24, numbers.adapterScale ?? 1, true);
  view.setUint32(28, numbers.loss ?? 0, true);
  device.queue.writeBuffer(buffer, 0, view.buffer);
}
