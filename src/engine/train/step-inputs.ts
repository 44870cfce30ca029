/** The buffers that carry a micro-batch to the GPU, made once for the largest one. */
import { writeBatch, createBatchBuffer, type BatchNumbers } from '../gpu/batch.ts';
import type { BufferPool } from '../gpu/buffers.ts';
import { externalTensor, externalWords, type TensorRef } from '../gpu/plan.ts';
import type { TokenInputs } from '../model/graph.ts';
import type { PackedBatch } from './batcher.ts';

type Field = 'ids' | 'positions' | 'segStart' | 'segEnd' | 'headRows' | 'targets' | 'coefficient';

export class StepInputs {
  readonly rows: number;
  readonly batch: GPUBuffer;
  readonly #pool: BufferPool;
  readonly #buffers = new Map<Field, GPUBuffer>();

  constructor(pool: BufferPool, rows: number) {
    this.#pool = pool;
    this.rows = rows;
    this.batch = createBatchBuffer(pool.device);
    for (const field of [
      'ids',
      'positions',
      'segStart',
      'segEnd',
      'headRows',
      'targets',
      'coefficient',
    ] as const) {
      this.#buffers.set(field, pool.create(`inputs ${field}`, rows * 4));
    }
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

  /** Rows that reach the head, their targets, and dLoss/dlogprob of each. */
  get head(): { rows: TensorRef; targets: TensorRef; coefficient: TensorRef } {
    const coefficient = externalTensor('coefficient', this.#buffer('coefficient'), 1, this.rows);
    return { rows: this.#words('headRows'), targets: this.#words('targets'), coefficient };
  }

  /** Queues a micro-batch. Cross-entropy: dLoss/dlogprob = -weight. */
  write(packed: PackedBatch, numbers: Pick<BatchNumbers, 'seed' | 'step' | 'micro' | 'adapterScale'>): void {
    const { device } = this.#pool;
    const tokens = packed.ids.length;
    if (tokens > this.rows)
      throw new Error(`A micro-batch of ${tokens} tokens does not fit a plan of ${this.rows}.`);
    writeBatch(device, this.batch, { ...numbers, tokens, headRows: packed.headRows.length, keyOffset: 0 });
    for (const field of ['ids', 'positions', 'segStart', 'segEnd', 'headRows', 'targets'] as const) {
      device.queue.writeBuffer(this.#buffer(field), 0, packed[field]);
    }
    device.queue.writeBuffer(
      this.#buffer('coefficient'),
      0,
      packed.weights.map((weight) => -weight),
    );
  }

  dispose(): void {
    for (const buffer of this.#buffers.values()) this.#pool.destroy(buffer);
    this.batch.destroy();
  }
}
