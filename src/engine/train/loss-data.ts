/**
 * Data with a loss for every token: N input tokens, N targets (position i predicts token i + 1; the caller shifts), and
 * what steers the loss at each. Beside `batcher.ts`, whose rows send only trained tokens to the head, all N go there:
 * the log-probability of each is wanted.
 */
import { StudioError } from '../../errors.ts';
import type { PackedBatch } from './batcher.ts';
import { checkClip, type Loss, type LossRow } from './losses.ts';

/** One sequence. The arrays are [N]; for cross-entropy, targets and weights may be [N, K]: K weighted targets each. */
export interface LossDatum {
  inputIds: ArrayLike<number>;
  targetTokens: ArrayLike<number>;
  /** For cross_entropy; may be negative or 0. 1 where they are left out. */
  weights?: ArrayLike<number>;
  /** For the other losses: log-probabilities when the tokens were sampled (q), and advantages; 0 masks, but in dro. */
  logprobs?: ArrayLike<number>;
  advantages?: ArrayLike<number>;
  /** For ppo and cispo: clip bounds of each token instead of the loss's. */
  clipLowThreshold?: ArrayLike<number>;
  clipHighThreshold?: ArrayLike<number>;
}

/** A micro-batch with the inputs of its loss. */
export interface LossBatch extends PackedBatch {
  /** [head rows, 4]: weight or advantage, q, lower clip bound or beta, upper clip bound. */
  lossInputs: Float32Array<ArrayBuffer>;
}

const PER_TOKEN = ['weights', 'logprobs', 'advantages', 'clipLowThreshold', 'clipHighThreshold'] as const;
type PerToken = (typeof PER_TOKEN)[number];

const TAKEN: Readonly<Record<Loss['name'], readonly PerToken[]>> = {
  cross_entropy: ['weights'],
  importance_sampling: ['logprobs', 'advantages'],
  ppo: ['logprobs', 'advantages', 'clipLowThreshold', 'clipHighThreshold'],
  cispo: ['logprobs', 'advantages', 'clipLowThreshold', 'clipHighThreshold'],
  dro: ['logprobs', 'advantages'],
};

/** Targets at each position. */
export function targetsPerToken(datum: LossDatum): number {
  return datum.targetTokens.length / datum.inputIds.length;
}

/**
 * Checks data against a loss and a model before anything is computed. Throws DATA_EMPTY, DATA_TOO_LONG (more tokens than
 * fit one micro-batch or the model), or DATA_INVALID, which names the datum, the place and the value.
 */
export function checkLossData(
  data: readonly LossDatum[],
  loss: Loss,
  limits: { vocabSize: number; maxTokens: number },
): void {
  if (data.length === 0) refuse('DATA_EMPTY', 'There are no data.', 'Give at least one datum.');
  data.forEach((datum, index) => {
    const at = `Datum ${index}`;
    checkTokens(datum.inputIds, `${at}, input token`, limits);
    checkTokens(datum.targetTokens, `${at}, target`, { ...limits, maxTokens: Infinity });
    const perToken = targetsPerToken(datum);
    if (!Number.isInteger(perToken) || (perToken > 1 && loss.name !== 'cross_entropy')) {
      refuse(
        'DATA_INVALID',
        `${at} has ${datum.targetTokens.length} targets for ${datum.inputIds.length} input tokens.`,
        'Give each input token one target: the token after it.',
      );
    }
    checkInputs(datum, loss, at);
  });
}

function checkTokens(
  ids: ArrayLike<number>,
  what: string,
  { vocabSize, maxTokens }: { vocabSize: number; maxTokens: number },
): void {
  if (ids.length === 0) refuse('DATA_EMPTY', `${what}: there is none.`, 'Give at least one token.');
  if (ids.length > maxTokens) {
    refuse(
      'DATA_TOO_LONG',
      `${what}: there are ${ids.length}, and ${maxTokens} fit.`,
      'Shorten the sequence, or allow more tokens where the model was opened for training.',
    );
  }
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] ?? NaN;
    if (Number.isInteger(id) && id >= 0 && id < vocabSize) continue;
    refuse(
      'DATA_INVALID',
      `${what} ${i} is ${id}; the vocabulary has ${vocabSize} tokens.`,
      "Use the model's own tokenizer; a position without a target takes any token and the weight or advantage 0.",
    );
  }
}

function checkInputs(datum: LossDatum, loss: Loss, at: string): void {
  const taken = TAKEN[loss.name];
  const count = datum.targetTokens.length;
  for (const key of PER_TOKEN) {
    const values = datum[key];
    if (values === undefined) {
      if (!taken.includes(key) || key === 'weights' || key.startsWith('clip')) continue;
      refuse('DATA_INVALID', `${at}: the loss ${loss.name} needs ${key}.`, `Give ${key} for each token.`);
    }
    if (!taken.includes(key))
      refuse('DATA_INVALID', `${at}: the loss ${loss.name} takes no ${key}.`, `Leave ${key} out.`);
    if (values.length !== count) {
      refuse(
        'DATA_INVALID',
        `${at} has ${values.length} ${key} for ${count} targets.`,
        'Give one value for each target.',
      );
    }
    for (let i = 0; i < count; i++) {
      // In float32, as the GPU gets it.
      if (!Number.isFinite(Math.fround(values[i] ?? NaN)))
        refuse('DATA_INVALID', `${at}: ${key} ${i} is ${values[i]}.`, 'Give finite numbers.');
    }
  }
  if (loss.name !== 'ppo' && loss.name !== 'cispo') return;
  if (!datum.clipLowThreshold && !datum.clipHighThreshold) return;
  for (let i = 0; i < count; i++) {
    const [, , low, high] = lossRow(datum, loss, i);
    checkClip(low, high);
  }
}

function refuse(code: 'DATA_EMPTY' | 'DATA_INVALID' | 'DATA_TOO_LONG', message: string, fix: string): never {
  throw new StudioError({ code, message, fix });
}

/** What steers the loss of target `at` (row-major in [N, K]), in the order and the precision that the GPU takes it. */
export function lossRow(datum: LossDatum, loss: Loss, at: number): LossRow {
  const [signal, q, low, high] = exactRow(datum, loss, at);
  return [Math.fround(signal), Math.fround(q), Math.fround(low), Math.fround(high)];
}

function exactRow(datum: LossDatum, loss: Loss, at: number): LossRow {
  const { weights, logprobs, advantages, clipLowThreshold, clipHighThreshold } = datum;
  const q = logprobs?.[at] ?? 0;
  const advantage = advantages?.[at] ?? 0;
  switch (loss.name) {
    case 'cross_entropy':
      return [weights ? (weights[at] ?? 0) : 1, 0, 0, 0];
    case 'importance_sampling':
      return [advantage, q, 0, 0];
    case 'ppo':
    case 'cispo':
      return [
        advantage,
        q,
        clipLowThreshold?.[at] ?? loss.clipLowThreshold,
        clipHighThreshold?.[at] ?? loss.clipHighThreshold,
      ];
    case 'dro':
      return [advantage, q, loss.beta, 0];
    default:
      return loss satisfies never;
  }
}

/** Splits data, in order, into groups that fit `maxTokens` together and have as many targets for each token. */
export function groupLossData(data: readonly LossDatum[], maxTokens: number): LossDatum[][] {
  const groups: LossDatum[][] = [];
  let used = Infinity;
  let perToken = 0;
  for (const datum of data) {
    const { length } = datum.inputIds;
    if (used + length > maxTokens || targetsPerToken(datum) !== perToken) {
      groups.push([]);
      used = 0;
      perToken = targetsPerToken(datum);
    }
    groups.at(-1)?.push(datum);
    used += length;
  }
  return groups;
}

/** Whether the target at `at` moves the loss: a weight or advantage of 0 takes it out, but in dro. */
export function isTrained(datum: LossDatum, loss: Loss, at: number): boolean {
  return loss.name === 'dro' || lossRow(datum, loss, at)[0] !== 0;
}

/**
 * Packs a group; of [N, K] targets those of one column, for one pass each: the passes' gradients add up. With
 * `trainedOnly`, rows that move no loss do not go to the head, which is most of its work where prompts are long.
 */
export function packLossData(
  group: readonly LossDatum[],
  loss: Loss,
  column = 0,
  trainedOnly = false,
): LossBatch {
  const tokens = group.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
  const heads = trainedOnly
    ? group.reduce((sum, datum) => sum + countTrained(datum, loss, column), 0)
    : tokens;
  const batch: LossBatch = {
    ids: new Uint32Array(tokens),
    positions: new Uint32Array(tokens),
    segStart: new Uint32Array(tokens),
    segEnd: new Uint32Array(tokens),
    headRows: new Uint32Array(heads),
    targets: new Uint32Array(heads),
    weights: new Float32Array(heads),
    lossInputs: new Float32Array(heads * 4),
  };
  let row = 0;
  let head = 0;
  for (const datum of group) {
    const { length } = datum.inputIds;
    const perToken = targetsPerToken(datum);
    for (let i = 0; i < length; i++) {
      const at = i * perToken + column;
      const inputs = lossRow(datum, loss, at);
      batch.ids[row + i] = datum.inputIds[i] ?? 0;
      batch.positions[row + i] = i;
      if (trainedOnly && !isTrained(datum, loss, at)) continue;
      batch.headRows[head] = row + i;
      batch.targets[head] = datum.targetTokens[at] ?? 0;
      batch.weights[head] = inputs[0];
      batch.lossInputs.set(inputs, head * 4);
      head += 1;
    }
    batch.segStart.fill(row, row, row + length);
    batch.segEnd.fill(row + length, row, row + length);
    row += length;
  }
  return batch;
}

function countTrained(datum: LossDatum, loss: Loss, column: number): number {
  const perToken = targetsPerToken(datum);
  let count = 0;
  for (let i = 0; i < datum.inputIds.length; i++) {
    if (isTrained(datum, loss, i * perToken + column)) count += 1;
  }
  return count;
}
