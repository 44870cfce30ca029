/** The figures of a run as JSON Lines: one object per step, written as the run goes. */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { StepMetrics } from '../engine/index.ts';
import { StudioError } from '../errors.ts';

export interface MetricsFile {
  write(metrics: StepMetrics): void;
  close(): void;
}

/** More than the figures of a million steps; a file that is longer is begun anew. */
const LARGEST_KEPT = 512 * 2 ** 20;

/** One line of the file, without its end. */
export function metricsLine(metrics: StepMetrics): string {
  const { step, epoch, loss, lr, gradNorm, tokens, trainedTokens, seconds, evalLoss } = metrics;
  // A member that is undefined is left out.
  return JSON.stringify({ step, epoch, loss, lr, gradNorm, tokens, trainedTokens, seconds, evalLoss });
}

const lineSchema = z.object({ step: z.number().int().positive() });

/** The step of a line; Infinity for a line that is none of ours, such as one that was cut off. */
function stepOf(line: string): number {
  try {
    const parsed = lineSchema.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data.step : Infinity;
  } catch {
    return Infinity;
  }
}

/** Cuts the file after its whole lines up to a step; one that is not there stays so. */
function cutAfter(path: string, step: number): void {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return;
  const file = openSync(path, 'r+');
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(size > LARGEST_KEPT ? 0 : size);
    readSync(file, bytes, 0, bytes.length, 0);
    let kept = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, kept)) {
      if (stepOf(bytes.toString('utf8', kept, end)) > step) break;
      kept = end + 1;
    }
    ftruncateSync(file, kept);
  } finally {
    closeSync(file);
  }
}

/**
 * Opens the file now, so that a path that cannot be written is found before the run; undefined opens nothing. A run that
 * goes on keeps the figures that are there up to its step.
 */
export function openMetrics(path: string | undefined, fromStep = 0): MetricsFile {
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
    if (fromStep > 0) cutAfter(path, fromStep);
    return openSync(path, fromStep > 0 ? 'a' : 'w');
  });
  return {
    write: (metrics) => attempt(() => writeSync(file, `${metricsLine(metrics)}\n`)),
    close: () => closeSync(file),
  };
}
