/**
 * Whole data through a session: forward for log-probabilities, forward and backward for any built-in loss. A custom loss C
 * is both: its log-probabilities by `forwardData`, then cross-entropy with the weights -dC/dlogprob.
 */
import {
  checkLossData,
  groupLossData,
  lossRow,
  packLossData,
  targetsPerToken,
  type LossBatch,
  type LossDatum,
} from './loss-data.ts';
import { lossTerm, type Loss } from './losses.ts';
import type { TrainingSession } from './session.ts';

export interface LossResult {
  /** Sum over all tokens of all data, never a mean. May be infinite or NaN; the optimizer step then changes nothing. */
  loss: number;
  /** [datum][N], or [datum][N, K]: the log-probability of each target. */
  logprobs: Float32Array<ArrayBuffer>[];
  /** Tokens whose gradient is not 0, and data with any such token: what an accumulated gradient is divided by. */
  lossTokens: number;
  sequences: number;
  /** Forward passes with dropout of their own: the next call of the same step counts `micro` on by this. */
  microBatches: number;
}

/** What keys the dropout. `micro` is the number of the step's first micro-batch. */
export interface LossKeys {
  seed: number;
  step: number;
  micro: number;
}

/** How data go through a session. */
export interface LossOptions {
  /**
   * The most tokens of a micro-batch, up to the session's: with it the micro-batches, and so the bits, do not depend on
   * how large the session was made.
   */
  maxTokens?: number;
  /** Only the targets that move the loss go to the head; the log-probabilities of the others are NaN. */
  trainedOnly?: boolean;
}

/** The longest sequence that a session takes. */
export function longestDatum(session: TrainingSession): number {
  return Math.min(session.maxTokens, session.model.config.maxPositions);
}

/**
 * Log-probabilities and loss without gradient or dropout; scale 0 asks the base model. The session was made with
 * `evaluate`. Throws what `checkLossData` throws, before anything is queued.
 */
export async function forwardData(
  session: TrainingSession,
  data: readonly LossDatum[],
  loss: Loss,
  adapterScale = 1,
  options: LossOptions = {},
): Promise<LossResult> {
  return run(session, data, loss, options, (batch) => session.evaluate(batch, adapterScale));
}

/**
 * Adds the gradient of the summed loss to what is accumulated. All micro-batches are queued before any is awaited. Throws
 * what `checkLossData` throws, before anything is queued. A later failure (the device) may leave part of the gradient:
 * `session.clearGradients()` drops it, with what was accumulated before.
 */
export async function forwardBackwardData(
  session: TrainingSession,
  data: readonly LossDatum[],
  loss: Loss,
  keys: LossKeys,
  options: LossOptions = {},
): Promise<LossResult> {
  return run(session, data, loss, options, (batch, index) =>
    session.forwardBackwardLoss(batch, loss, { ...keys, micro: keys.micro + index }),
  );
}

async function run(
  session: TrainingSession,
  data: readonly LossDatum[],
  loss: Loss,
  { maxTokens = session.maxTokens, trainedOnly = false }: LossOptions,
  pass: (batch: LossBatch, index: number) => Promise<Float32Array>,
): Promise<LossResult> {
  const { vocabSize } = session.model.config;
  checkLossData(data, loss, { vocabSize, maxTokens: longestDatum(session) });
  const groups = groupLossData(data, Math.min(maxTokens, session.maxTokens));
  const passes = groups.map((group, index) => {
    const columns = group[0] ? targetsPerToken(group[0]) : 0;
    // The columns of a group are one forward pass to the dropout: they share its number.
    return Promise.all(
      Array.from({ length: columns }, async (_, column) => {
        const batch = packLossData(group, loss, column, trainedOnly);
        return scatter(await pass(batch, index), batch);
      }),
    );
  });
  const result: LossResult = {
    loss: 0,
    logprobs: [],
    lossTokens: 0,
    sequences: 0,
    microBatches: groups.length,
  };
  const outputs = await Promise.all(passes);
  groups.forEach((group, index) => collect(group, loss, outputs[index] ?? [], result));
  return result;
}

/** Log-probabilities by token instead of by head row; NaN where a token has none. */
function scatter(logprobs: Float32Array, { ids, headRows }: LossBatch): Float32Array {
  if (headRows.length === ids.length) return logprobs;
  const all = new Float32Array(ids.length).fill(NaN);
  headRows.forEach((row, i) => {
    all[row] = logprobs[i] ?? NaN;
  });
  return all;
}

/** Sorts the log-probabilities of a group's columns to its data and adds the loss up, token by token in float64. */
function collect(
  group: readonly LossDatum[],
  loss: Loss,
  columns: readonly Float32Array[],
  result: LossResult,
): void {
  let row = 0;
  for (const datum of group) {
    const { length } = datum.inputIds;
    const logprobs = new Float32Array(length * columns.length);
    const before = result.lossTokens;
    for (let i = 0; i < length; i++) {
      let counts = false;
      columns.forEach((column, k) => {
        const at = i * columns.length + k;
        const logprob = column[row + i] ?? NaN;
        const { value, slope } = lossTerm(loss.name, logprob, lossRow(datum, loss, at));
        logprobs[at] = logprob;
        result.loss += value;
        counts ||= slope !== 0;
      });
      if (counts) result.lossTokens += 1;
    }
    if (result.lossTokens > before) result.sequences += 1;
    result.logprobs.push(logprobs);
    row += length;
  }
}

/**
 * Log-probability of every token of each prompt but its first, given those before it: [prompt][tokens - 1]. Scale 0 asks
 * the base model, 1 the adapter. Throws what `checkLossData` throws.
 */
export async function promptLogprobs(
  session: TrainingSession,
  prompts: readonly ArrayLike<number>[],
  adapterScale = 1,
): Promise<Float32Array<ArrayBuffer>[]> {
  const { vocabSize } = session.model.config;
  const loss: Loss = { name: 'cross_entropy' };
  const all = prompts.map((prompt) => Array.from(prompt));
  // The last token of a prompt is a target only, and so may be one more than fits; its id is checked with the targets.
  const data = all
    .filter(({ length }) => length > 1)
    .map((ids): LossDatum => ({ inputIds: ids.slice(0, -1), targetTokens: ids.slice(1) }));
  checkLossData(
    all.map((ids) => ({ inputIds: ids, targetTokens: ids })),
    loss,
    { vocabSize, maxTokens: longestDatum(session) + 1 },
  );
  const found = data.length > 0 ? (await forwardData(session, data, loss, adapterScale)).logprobs : [];
  let next = 0;
  return all.map(({ length }) => (length > 1 ? (found[next++] ?? new Float32Array()) : new Float32Array()));
}
