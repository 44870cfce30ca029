/** What `lorikeet finetune` prints when it is done. */
import type { FinetuneResult, StepMetrics } from '../engine/index.ts';
import type { SavedEvent } from '../checkpoints/run-saver.ts';
import type { PreparedSummary } from '../run/prepare-data.ts';
import type { Run } from '../run/start-run.ts';
import { bytes, duration, table } from './words.ts';

export interface Finished {
  /** Null where the adapter was not written besides. */
  out: string | null;
  /** The run in the store; null where nothing is kept. */
  kept: { run: string; id: string; saved: readonly SavedEvent[] } | null;
  run: Pick<Run, 'steps' | 'settings' | 'trainableParameters' | 'memory'>;
  data: PreparedSummary;
  result: FinetuneResult;
  last: StepMetrics;
  evalLossBefore: number | null;
  gpu: string;
}

/** One line of JSON. */
export function summaryJson({ out, kept, run, data, result, last, evalLossBefore, gpu }: Finished): string {
  const { rank, alpha, rslora, targetModules } = run.settings;
  return `${JSON.stringify({
    out,
    steps: last.step,
    plannedSteps: run.steps,
    stopped: result.stopped,
    loss: last.loss,
    evalLossBefore,
    evalLoss: result.evalLoss,
    seconds: last.seconds,
    rank,
    alpha,
    rslora,
    targets: targetModules,
    trainableParameters: run.trainableParameters,
    gpu,
    gpuBytes: run.memory.total,
    run: kept === null ? null : { name: kept.run, id: kept.id },
    checkpoints: (kept?.saved ?? []).map(({ checkpoint, trigger, stallMs, times, writtenBytes }) => ({
      name: checkpoint.name,
      step: checkpoint.step,
      trigger,
      stallMs,
      ms: Math.max(0, ...Object.values(times)),
      writtenBytes,
    })),
    data: {
      name: data.name,
      format: data.format,
      trainRows: data.trainRows,
      evalRows: data.evalRows,
      tokens: data.tokens,
      trainedTokens: data.trainedTokens,
      truncated: data.truncated,
      duplicates: data.duplicates,
      rejected: data.rejected,
      evalRejected: data.evalRejected,
      notes: data.notes,
    },
  })}\n`;
}

/** A few lines for people. */
export function summaryText({ out, kept, run, result, last, evalLossBefore }: Finished): string {
  const first = result.metrics[0]?.loss ?? last.loss;
  const steps = `${last.step}${result.stopped ? ` of ${run.steps} (ended early)` : ''} in ${duration(last.seconds)}`;
  const evaluation =
    evalLossBefore === null || result.evalLoss === null
      ? []
      : [
          [
            'Evaluation loss',
            `${evalLossBefore.toFixed(4)} before, ${result.evalLoss.toFixed(4)} after`,
          ] as const,
        ];
  return table([
    ...(out === null ? [] : [['Adapter', out] as const]),
    ...(kept === null
      ? []
      : [['Run', `${kept.run}, ${String(kept.saved.length)} checkpoints saved`] as const]),
    ['Steps', steps],
    ['Training loss', `${first.toFixed(4)} in the first step, ${last.loss.toFixed(4)} in the last`],
    ...evaluation,
    ['GPU memory', bytes(run.memory.total)],
  ]);
}
