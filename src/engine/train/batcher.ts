/** Which rows a step takes, and how they lie on the flat token axis. Pure: a function of seed, step and data. */
import type { TokenizedExample } from '../../data/types.ts';
import { philox4x32 } from '../../philox.ts';

/** The label of a token that is not trained, as in transformers. */
const IGNORED_LABEL = -100;

/** Sets this use of the seed apart from the others: initialisation, splitting, sampling. */
const PURPOSE = 0x53485546;

/** The order of rows in an epoch: Fisher-Yates with counter-based numbers. */
export function epochOrder(rows: number, epoch: number, seed: number, shuffle: boolean): number[] {
  const order = Array.from({ length: rows }, (_, index) => index);
  if (!shuffle) return order;
  const key: [number, number] = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
  for (let i = rows - 1; i > 0; i--) {
    const [high, low] = philox4x32([i, epoch, 0, PURPOSE], key);
    // 53 bits scaled to [0, i]: the bias is below 2^-30 for any real data set.
    const unit = ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53;
    const j = Math.floor(unit * (i + 1));
    const swapped = order[i] ?? 0;
    order[i] = order[j] ?? 0;
    order[j] = swapped;
  }
  return order;
}

/** Walks through the epochs row by row, wrapping at the end of the data. */
export class RowCursor {
  readonly #rows: number;
  readonly #seed: number;
  readonly #shuffle: boolean;
  #order: number[] = [];
  #orderEpoch = -1;
  #taken: number;

  /** `taken` rows were taken before: where a resumed run goes on. */
  constructor(rows: number, seed: number, shuffle: boolean, taken = 0) {
    this.#rows = rows;
    this.#seed = seed;
    this.#shuffle = shuffle;
    this.#taken = taken;
  }

  /** Rows taken since the beginning of the run. */
  get taken(): number {
    return this.#taken;
  }

  /** Passes over the data that are done, with a fraction. */
  get epoch(): number {
    return this.#taken / this.#rows;
  }

  /** The next rows by index. */
  take(count: number): number[] {
    return Array.from({ length: count }, () => {
      const epoch = Math.floor(this.#taken / this.#rows);
      if (epoch !== this.#orderEpoch) {
        this.#order = epochOrder(this.#rows, epoch, this.#seed, this.#shuffle);
        this.#orderEpoch = epoch;
      }
      const index = this.#order[this.#taken % this.#rows] ?? 0;
      this.#taken += 1;
      return index;
    });
  }
}

/** One micro-batch on the flat token axis; sequences lie one behind another. */
export interface PackedBatch {
  ids: Uint32Array<ArrayBuffer>;
  positions: Uint32Array<ArrayBuffer>;
  /** First row of the token's sequence, and one past its last. */
  segStart: Uint32Array<ArrayBuffer>;
  segEnd: Uint32Array<ArrayBuffer>;
  /** Rows whose next token is a target that counts, and that token. */
  headRows: Uint32Array<ArrayBuffer>;
  targets: Uint32Array<ArrayBuffer>;
  /** Weight of each target in the loss. */
  weights: Float32Array<ArrayBuffer>;
}

/** Tokens of an example that enter the model: the last one only ever is a target. */
export function inputLength(example: TokenizedExample): number {
  return Math.max(1, example.inputIds.length - 1);
}

/** Targets that count: labels but the first, which nothing predicts. */
export function targetCount(example: TokenizedExample): number {
  return example.labels.reduce(
    (count, label, index) => count + (index > 0 && label !== IGNORED_LABEL ? 1 : 0),
    0,
  );
}

/** Splits examples, in order, into groups whose inputs fit `maxTokens` together. */
export function groupByTokens(
  examples: readonly TokenizedExample[],
  maxTokens: number,
): TokenizedExample[][] {
  const groups: TokenizedExample[][] = [];
  let used = maxTokens + 1;
  for (const example of examples) {
    const length = inputLength(example);
    if (used + length > maxTokens) {
      groups.push([]);
      used = 0;
    }
    groups.at(-1)?.push(example);
    used += length;
  }
  return groups;
}

/** Packs examples; every target gets `weight` (1 / trained tokens of the step for a mean). */
export function packExamples(examples: readonly TokenizedExample[], weight: number): PackedBatch {
  const tokens = examples.reduce((sum, example) => sum + inputLength(example), 0);
  const trained = examples.reduce((sum, example) => sum + targetCount(example), 0);
  const batch: PackedBatch = {
    ids: new Uint32Array(tokens),
    positions: new Uint32Array(tokens),
    segStart: new Uint32Array(tokens),
    segEnd: new Uint32Array(tokens),
    headRows: new Uint32Array(trained),
    targets: new Uint32Array(trained),
    weights: new Float32Array(trained).fill(weight),
  };
  let row = 0;
  let head = 0;
  for (const example of examples) {
    const length = inputLength(example);
    for (let i = 0; i < length; i++) {
      batch.ids[row + i] = example.inputIds[i] ?? 0;
      batch.positions[row + i] = i;
      const label = example.labels[i + 1] ?? IGNORED_LABEL;
      if (label === IGNORED_LABEL) continue;
      batch.headRows[head] = row + i;
      batch.targets[head] = label;
      head += 1;
    }
    batch.segStart.fill(row, row, row + length);
    batch.segEnd.fill(row + length, row, row + length);
    row += length;
  }
  return batch;
}
