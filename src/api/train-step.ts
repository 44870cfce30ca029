/** One whole training step in one call. */
import { attempt, rejected } from './attempt.ts';
import { createFuture, type ApiFuture, type WaitOptions } from './future.ts';
import { PrecedingOperationFailedError } from './own-errors.ts';
import { checkAdam } from './parameters.ts';
import type { TrainingClient } from './training-client.ts';
import type { AdamParams, Datum, LossFnType, TrainingResult } from './types.ts';

export interface TrainStepOptions extends WaitOptions {
  learningRate?: number;
  adamParams?: AdamParams;
  lossFnConfig?: Readonly<Record<string, number>> | null;
}

/** forwardBackward and optimStep, submitted together. */
export function trainStep(
  client: TrainingClient,
  data: readonly Datum[],
  lossFn: LossFnType,
  options: TrainStepOptions,
): ApiFuture<TrainingResult> {
  const { learningRate, adamParams, lossFnConfig = null, ...wait } = options;
  // Checked first: a step that is refused must not leave its gradient behind.
  const adam = attempt(() =>
    checkAdam({ ...adamParams, ...(learningRate === undefined ? {} : { learningRate }) }),
  );
  if (!adam.ok) return rejected(adam.error);
  const forward = client.forwardBackward(data, lossFn, lossFnConfig);
  // Refused before it took a turn: no step without its gradient.
  if (forward.seqIds.length === 0) return createFuture(async () => (await forward) as never, wait);
  const stepped = client.optimStep(adam.value);
  return createFuture(
    async (control) => {
      void forward.submitted.then(
        () => {
          control.accepted(forward.requestId);
        },
        () => undefined,
      );
      const output = await forward;
      const { precedingFailure, metrics = {} } = await stepped;
      if (precedingFailure !== undefined)
        throw new PrecedingOperationFailedError({ message: precedingFailure });
      const loss = output.metrics['loss:sum'] ?? NaN;
      return { loss, metrics: { ...output.metrics, ...metrics }, step: client.step };
    },
    { ...wait, seqIds: [...forward.seqIds, ...stepped.seqIds] },
  );
}
