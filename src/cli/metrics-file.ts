/** The figures of a run as JSON Lines: one object per step, written as the run goes. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { StepMetrics } from '../engine/index.ts';
import { StudioError } from '../errors.ts';

export interface MetricsFile {
  write(metrics: StepMetrics): void;
  close(): void;
}

/** One line of the file, without its end. */
export function metricsLine(metrics: StepMetrics): string {
  const { step, epoch, loss, lr, gradNorm, tokens, trainedTokens, seconds, evalLoss } = metrics;
  // A member that is undefined is left out.
  return JSON.stringify({ step, epoch, loss, lr, gradNorm, tokens, trainedTokens, seconds, evalLoss });
}

/** Opens the file now, so that a path that cannot be written is found before the run; undefined opens nothing. */
export function openMetrics(path: string | undefined): MetricsFile {
  if (path === undefined) return { write: () => undefined, close: () => undefined };
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
      throw new StudioError(
        {
          code: 'FILE_WRITE_FAILED',
          message: `${path} could not be written (${code}).`,
          fix: 'Choose another place for --metrics, or check the permissions.',
        },
        { cause },
      );
    }
  };
  const file = attempt(() => {
    mkdirSync(dirname(path), { recursive: true });
    return openSync(path, 'w');
  });
  return {
    write: (metrics) => attempt(() => writeSync(file, `${metricsLine(metrics)}\n`)),
    close: () => closeSync(file),
  };
}
