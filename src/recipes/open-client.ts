/** The client that a loop trains: fresh, from saved weights, or from a checkpoint that the loop goes on from. */
import type { CreateLoraOptions, ServiceClient } from '../api/service-client.ts';
import type { TrainingClient } from '../api/training-client.ts';
import { BadRequestError } from '../api/errors.ts';

export interface OpenClientOptions extends CreateLoraOptions {
  /** Needed for a fresh adapter; else it must be the checkpoint's where it is given. */
  baseModel?: string;
  /** A training checkpoint to go on from: weights, optimizer and the loop's position. */
  resumeFrom?: string | null;
  /** A training checkpoint whose weights to start from, with a fresh optimizer and from the first batch. */
  loadCheckpointPath?: string | null;
  /** Kept in the run's metadata as `renderer_name`. */
  rendererName?: string;
}

/** Opens it. Of several the checkpoint to go on from comes first. Throws BadRequestError where there is nothing to open. */
export function openClient(service: ServiceClient, options: OpenClientOptions): Promise<TrainingClient> {
  const { baseModel, resumeFrom, loadCheckpointPath, rendererName, ...fresh } = options;
  const userMetadata = {
    ...options.userMetadata,
    ...(rendererName === undefined ? {} : { renderer_name: rendererName }),
  };
  const from = { userMetadata, ...(baseModel === undefined ? {} : { baseModel }) };
  if (resumeFrom !== undefined && resumeFrom !== null) return service.loadTrainingClient(resumeFrom, from);
  if (loadCheckpointPath !== undefined && loadCheckpointPath !== null)
    return service.createTrainingClientFromState(loadCheckpointPath, from);
  if (baseModel === undefined) {
    throw new BadRequestError({
      message: 'There is neither a base model nor a checkpoint to train from.',
      fix: 'Set baseModel, resumeFrom or loadCheckpointPath.',
    });
  }
  return service.createLoraTrainingClient(baseModel, { ...fresh, userMetadata });
}
