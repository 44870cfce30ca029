/** What a run has done so far, as a checkpoint keeps it: figures without times, so that a resumed run's are the same. */
import type { StepMetrics } from '../engine/index.ts';
import type { MetricRecord, TrainingState } from '../formats/training-state.ts';

/** By which figure the best checkpoint is chosen. */
export interface BestRule {
  metric: 'evalLoss' | 'loss';
  direction: 'min' | 'max';
}

export interface RunLog {
  records: MetricRecord[];
  best: TrainingState['best'];
  /** Tokens that were seen. */
  tokens: number;
  /** Of the last evaluation; null before the first. */
  evalLoss: number | null;
}

/** The log of a run that begins, or goes on from a checkpoint. */
export function newLog(from?: Pick<TrainingState, 'metrics' | 'best' | 'tokens'>): RunLog {
  const records = from === undefined ? [] : [...from.metrics];
  const evaluated = records.findLast((record) => typeof record['evalLoss'] === 'number');
  const evalLoss = evaluated?.['evalLoss'];
  return {
    records,
    best: from?.best ?? null,
    tokens: from?.tokens ?? 0,
    evalLoss: typeof evalLoss === 'number' ? evalLoss : null,
  };
}

/** Notes the evaluation before the first step. */
export function logEvaluation(log: RunLog, step: number, evalLoss: number): void {
  if (!Number.isFinite(evalLoss)) return;
  log.records.push({ step, evalLoss });
  log.evalLoss = evalLoss;
}

/** Notes a step; says whether it gave the best value so far. Of equal values the earlier stays, and NaN never wins. */
export function logStep(log: RunLog, metrics: StepMetrics, rule: BestRule | null): boolean {
  const { step, epoch, loss, lr, gradNorm, tokens, trainedTokens, evalLoss } = metrics;
  // A checkpoint holds finite figures alone: an evaluation that overflowed is no figure.
  const evaluated = evalLoss === undefined || !Number.isFinite(evalLoss) ? {} : { evalLoss };
  log.records.push({ step, epoch, loss, lr, gradNorm, tokens, trainedTokens, ...evaluated });
  log.tokens += tokens;
  if (evaluated.evalLoss !== undefined) log.evalLoss = evaluated.evalLoss;
  const value = rule === null ? undefined : metrics[rule.metric];
  if (rule === null || value === undefined || !Number.isFinite(value)) return false;
  const better =
    log.best === null || (rule.direction === 'min' ? value < log.best.value : value > log.best.value);
  if (better) log.best = { metric: rule.metric, mode: rule.direction, value, step, checkpoint: null };
  return better;
}
