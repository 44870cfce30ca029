/** The buffers that carry a micro-batch to the GPU, made once for the largest one. */
import { writeBatch, createBatchBuffer, type BatchNumbers } from '../gpu/batch.ts';
import type { BufferPool } from '../gpu/buffers.ts';
import { externalTensor, externalWords, type TensorRef } from '../gpu/plan.ts';
import type { TokenInputs } from '../model/graph.ts';
import type { PackedBatch } from './batcher.ts';

type Field = 'ids' | 'positions' | 'segStart' | 'segEnd' | 'headRows' | 'targets' | 'loss';

/** One word for each row. */
const WORDS = ['ids', 'positions', 'segStart', 'segEnd', 'headRows', 'targets'] as const;

export class StepInputs {
  readonly rows: number;
  readonly batch: GPUBuffer;
  readonly #pool: BufferPool;
  readonly #buffers = new Map<Field, GPUBuffer>();

  constructor(pool: BufferPool, rows: number) {
    this.#pool = pool;
    this.rows = rows;
    this.batch = createBatchBuffer(pool.device);
    for (const field of WORDS) this.#buffers.set(field, pool.create(`inputs ${field}`, rows * 4));
    this.#buffers.set('loss', pool.create('inputs loss', rows * 16));
  }

  #words(field: Field): TensorRef {
    return externalWords(field, this.#buffer(field), this.rows);
  }

  #buffer(field: Field): GPUBuffer {
    const buffer = this.#buffers.get(field);
    if (!buffer) throw new Error(`No input ${field}.`);
    return buffer;
  }

  get tokens(): TokenInputs {
    const { rows } = this;
    return {
      rows,
      ids: this.#words('ids'),
      positions: this.#words('positions'),
      segStart: this.#words('segStart'),
      segEnd: this.#words('segEnd'),
    };
  }

  /** Rows that reach the head, their targets, and what steers the loss of each: [head rows, 4]. */
  get head(): { rows: TensorRef; targets: TensorRef; loss: TensorRef } {
    const loss = externalTensor('loss inputs', this.#buffer('loss'), this.rows, 4);
    return { rows: this.#words('headRows'), targets: this.#words('targets'), loss };
  }

  /** Queues a micro-batch; without loss inputs of its own it is trained by cross-entropy with its weights. */
  write(
    packed: PackedBatch & { lossInputs?: Float32Array<ArrayBuffer> },
    numbers: Pick<BatchNumbers, 'seed' | 'step' | 'micro' | 'adapterScale'> & { loss?: number },
  ): void {
    const { device } = this.#pool;
    const tokens = packed.ids.length;
    if (tokens > this.rows)
      throw new Error(`A micro-batch of ${tokens} tokens does not fit a plan of ${this.rows}.`);
    writeBatch(device, this.batch, { ...numbers, tokens, headRows: packed.headRows.length, keyOffset: 0 });
    for (const field of WORDS) device.queue.writeBuffer(this.#buffer(field), 0, packed[field]);
    device.queue.writeBuffer(this.#buffer('loss'), 0, packed.lossInputs ?? weightRows(packed.weights));
  }

  dispose(): void {
    for (const buffer of this.#buffers.values()) this.#pool.destroy(buffer);
    this.batch.destroy();
  }
}

/** The loss inputs of cross-entropy: the weight, and nothing else. */
function weightRows(weights: Float32Array): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(weights.length * 4);
  weights.forEach((weight, row) => {
    rows[row * 4] = weight;
  });
  return rows;
}
