/** scheduler.pt of a HuggingFace Trainer: the state dict of `torch.optim.lr_scheduler.LambdaLR`. */
import { incompleteState, invalidState, unsupportedState } from './moments.ts';
import { dict, typeName } from './torch-values.ts';
import type { TorchDict, TorchValue } from './torch-values.ts';

export const SCHEDULER_PT = 'scheduler.pt';

export interface HfSchedulerState {
  /** Steps of the schedule that are done. */
  position: number;
  peakLearningRate: number;
  /** The rate of the next step. */
  learningRate: number;
}

/** The state dict, for the two groups of Trainer's optimizer. */
export function schedulerDict({ position, peakLearningRate, learningRate }: HfSchedulerState): TorchDict {
  return dict([
    ['base_lrs', [peakLearningRate, peakLearningRate]],
    ['last_epoch', BigInt(position)],
    ['_step_count', BigInt(position) + 1n],
    ['_is_initial', false],
    ['_get_lr_called_within_step', false],
    ['_last_lr', [learningRate, learningRate]],
    ['lr_lambdas', [dict([]), dict([])]],
  ]);
}

function rates(state: TorchDict, key: string): [number, number] {
  const value = state.get(key);
  if (value === undefined) throw incompleteState(`${SCHEDULER_PT} has no ${key}`);
  const [first, second] = Array.isArray(value) ? value : [];
  const isRate = (rate: TorchValue | undefined): rate is number =>
    typeof rate === 'number' && Number.isFinite(rate) && rate >= 0;
  if (Array.isArray(value) && value.length === 2 && isRate(first) && isRate(second)) return [first, second];
  throw invalidState(`${SCHEDULER_PT}: ${key} does not hold two rates`);
}

function count(state: TorchDict, key: string): number {
  const value = state.get(key);
  if (typeof value === 'bigint' && value >= 0n && value <= 2n ** 31n) return Number(value);
  throw invalidState(`${SCHEDULER_PT}: ${key} is ${typeName(value)}, not a whole number from 0`);
}

/** Reads a state dict. What the schedule looks like is not in it, only where it is. */
export function readSchedulerDict(value: TorchValue): HfSchedulerState {
  if (!(value instanceof Map)) throw invalidState(`${SCHEDULER_PT} is ${typeName(value)}, not a dict`);
  if (value.has('best') || value.has('num_bad_epochs')) {
    throw unsupportedState('a schedule that follows the loss (ReduceLROnPlateau)');
  }
  if (value.has('_schedulers')) throw unsupportedState('a schedule that is put together from several');
  const lambdas = value.get('lr_lambdas');
  if (lambdas === undefined)
    throw incompleteState(`${SCHEDULER_PT} has no lr_lambdas, so it is not Trainer's LambdaLR`);
  if (!Array.isArray(lambdas) || lambdas.length !== 2) {
    throw invalidState(`${SCHEDULER_PT}: lr_lambdas is not a list of two`);
  }
  const position = count(value, 'last_epoch');
  if (count(value, '_step_count') !== position + 1) {
    throw invalidState(`${SCHEDULER_PT}: _step_count does not follow last_epoch`);
  }
  const [peakLearningRate, secondPeak] = rates(value, 'base_lrs');
  const [learningRate, second] = rates(value, '_last_lr');
  if (secondPeak !== peakLearningRate || second !== learningRate) {
    throw unsupportedState('groups of parameters that are trained at different rates (such as LoRA+)');
  }
  return { position, peakLearningRate, learningRate };
}
