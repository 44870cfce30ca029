/** Submits one batch ahead: batch k+1 is on its way before batch k is awaited, except where something lies between. */
import { BadRequestError } from '../api/errors.ts';

export interface Pipeline<T> {
  /** First batch, and the one after the last. */
  from: number;
  total: number;
  /** Batches that are submitted before the present one is awaited; 0 awaits each. */
  submitAhead: number;
  /** Whether something must happen after so many batches and before the next, such as a save. */
  isBoundary: (done: number) => boolean;
  /** Submits a batch; must not wait. */
  submit: (batch: number) => T;
  /** Awaits it, reports, and saves where it is time. */
  finish: (batch: number, submitted: T) => Promise<void>;
  signal?: AbortSignal | undefined;
}

/** Runs the batches in order. Throws what `finish` throws, and the signal's reason. */
export async function runPipeline<T>(pipeline: Pipeline<T>): Promise<void> {
  const { from, total, submitAhead, isBoundary, submit, finish, signal } = pipeline;
  if (!Number.isInteger(submitAhead) || submitAhead < 0) {
    throw new BadRequestError({
      message: `submitAhead is ${String(submitAhead)}; it must be a whole number from 0.`,
    });
  }
  const waiting: T[] = [];
  let next = from;
  for (let batch = from; batch < total; batch++) {
    signal?.throwIfAborted();
    while (next < total && next <= batch + submitAhead) {
      // What was submitted beyond a boundary would already be in the weights that are saved there.
      if (next > batch && isBoundary(next)) break;
      waiting.push(submit(next++));
    }
    const submitted = waiting.shift();
    if (submitted !== undefined) await finish(batch, submitted);
  }
}
