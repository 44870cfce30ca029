/** What `lorikeet finetune` prints when it is done. */
import type { FinetuneResult, StepMetrics } from '../engine/index.ts';
import type { SavedEvent } from '../checkpoints/run-saver.ts';
import type { ErrorFields } from '../errors.ts';
import type { PreparedSummary } from '../run/prepare-data.ts';
import type { Run } from '../run/start-run.ts';
import { bytes, count, duration, table } from './words.ts';

export interface Finished {
  /** Null where the adapter was not written besides. */
  out: string | null;
  /** The run in the store; null where nothing is kept. */
  kept: { name: string; id: string; saved: readonly SavedEvent[] } | null;
  /** Saves that failed. */
  failed: readonly ErrorFields[];
  /** What was gone on from. */
  from: { run: string; name: string; step: number; exact: boolean } | null;
  /** The command that goes on, where the run was ended early. */
  resume: string | null;
  run: Pick<Run, 'steps' | 'settings' | 'trainableParameters' | 'memory' | 'from'>;
  data: PreparedSummary;
  result: FinetuneResult;
  /** Null where a resumed run was ended before its next step. */
  last: StepMetrics | null;
  evalLossBefore: number | null;
  gpu: string;
}

/** One line of JSON. */
export function summaryJson(finished: Finished): string {
  const { out, kept, run, data, result, last, evalLossBefore, gpu } = finished;
  const { rank, alpha, rslora, targetModules } = run.settings;
  return `${JSON.stringify({
    out,
    steps: last?.step ?? run.from.step,
    plannedSteps: run.steps,
    stopped: result.stopped,
    loss: last?.loss ?? null,
    evalLossBefore,
    evalLoss: result.evalLoss,
    seconds: last?.seconds ?? 0,
    rank,
    alpha,
    rslora,
    targets: targetModules,
    trainableParameters: run.trainableParameters,
    gpu,
    gpuBytes: run.memory.total,
    run: kept === null ? null : { name: kept.name, id: kept.id },
    resumedFrom: finished.from,
    resume: finished.resume,
    checkpoints: (kept?.saved ?? []).map(({ checkpoint, trigger, stallMs, times, writtenBytes }) => ({
      name: checkpoint.name,
      step: checkpoint.step,
      trigger,
      stallMs,
      ms: Math.max(0, ...Object.values(times)),
      writtenBytes,
    })),
    failedSaves: finished.failed,
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

function keptText({ name, saved }: NonNullable<Finished['kept']>): string {
  const longest = Math.max(0, ...saved.map(({ stallMs }) => stallMs));
  const held = saved.length === 0 ? '' : `; training was held for ${count(longest)} ms at most`;
  return `${name}, ${String(saved.length)} checkpoints saved${held}`;
}

/** A few lines for people. */
export function summaryText({ out, kept, run, result, last, evalLossBefore }: Finished): string {
  const first = result.metrics[0];
  const done = last?.step ?? run.from.step;
  const early = result.stopped ? ` of ${String(run.steps)} (ended early)` : '';
  const evaluation =
    evalLossBefore === null || result.evalLoss === null
      ? []
      : [
          [
            'Evaluation loss',
            `${evalLossBefore.toFixed(4)} before, ${result.evalLoss.toFixed(4)} after`,
          ] as const,
        ];
  const losses =
    first === undefined || last === null
      ? 'no step was done'
      : `${first.loss.toFixed(4)} in ${first.step === 1 ? 'the first step' : `step ${String(first.step)}`}, ${last.loss.toFixed(4)} in the last`;
  return table([
    ...(out === null ? [] : [['Adapter', out] as const]),
    ...(kept === null ? [] : [['Run', keptText(kept)] as const]),
    ['Steps', `${String(done)}${early} in ${duration(last?.seconds ?? 0)}`],
    ['Training loss', losses],
    ...evaluation,
    ['GPU memory', bytes(run.memory.total)],
  ]);
}
