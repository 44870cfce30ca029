/** load_weights, with what servers say against it as the errors of the seam. */
import type { Accepted, LoadRequest, Turn } from '../backend.ts';
import { NotFoundError, RequestFailedError } from '../errors.ts';
import { CheckpointNotFoundError, LoraConfigMismatchError, UnsupportedFeatureError } from '../own-errors.ts';
import { formatPath } from '../paths.ts';
import type { LoadWeightsResponse } from '../types.ts';
import { submit, type RemoteContext } from './remote-context.ts';

/** The path as servers take it. */
export const wirePath = ({ path }: LoadRequest): string =>
  formatPath('tinker', path.runId, path.checkpointType, path.name);

/** Throws, before anything is sent, where the server would load something other than was asked for. */
export function checkLoad(context: RemoteContext, request: LoadRequest): void {
  const { traits, warnings } = context;
  if (request.path.alias !== null) {
    throw new UnsupportedFeatureError({
      feature: `@${request.path.alias}`,
      backend: traits.label,
      why: 'the moving names are those of local runs',
      fix: 'Use the name of a checkpoint.',
    });
  }
  if (request.path.checkpointType !== 'training') {
    throw new UnsupportedFeatureError({
      feature: 'loading sampler weights into training',
      backend: traits.label,
      why: `${request.path.path} is no training checkpoint`,
      fix: 'Load a checkpoint that saveState made.',
    });
  }
  if (request.optimizer || traits.optimizerFlag) return;
  warnings.once({
    code: 'OPTIMIZER_FLAG_IGNORED',
    message: `${traits.label} restores the moments whatever is asked: this is no load of weights alone.`,
  });
  if (context.strict) {
    throw new UnsupportedFeatureError({
      feature: 'loading weights alone',
      backend: traits.label,
      why: 'it always restores the moments',
    });
  }
}

/** The typed error of a failed load; others as they are. */
export function loadError(error: unknown, request: LoadRequest): unknown {
  const message = error instanceof Error ? error.message : '';
  if (error instanceof NotFoundError) {
    return new CheckpointNotFoundError({
      message: `There is no checkpoint ${request.path.path}.`,
      cause: error,
    });
  }
  const rank = /checkpoint has rank (\d+), model configured with rank (\d+)/.exec(message);
  if (error instanceof RequestFailedError && rank !== null) {
    return new LoraConfigMismatchError({
      message: `${request.path.path} has rank ${rank[1] ?? ''}, the model rank ${rank[2] ?? ''}.`,
      field: 'rank',
      expected: Number(rank[2]),
      actual: Number(rank[1]),
      requestId: error.requestId,
      cause: error,
    });
  }
  return error;
}

/** Sends the load with the flag said, and gives what we kept of the checkpoint. */
export async function loadRemote(
  context: RemoteContext,
  modelId: string,
  request: LoadRequest,
  seqId: number,
  turn: Turn | null,
): Promise<Accepted<LoadWeightsResponse>> {
  checkLoad(context, request);
  const path = wirePath(request);
  const typed = (error: unknown): never => {
    throw loadError(error, request);
  };
  const accepted = await submit(
    context,
    {
      method: 'POST',
      path: 'load_weights',
      json: {
        model_id: modelId,
        path,
        seq_id: seqId,
        weights_access_token: request.weightsAccessToken,
        optimizer: request.optimizer,
        type: 'load_weights',
      },
    },
    {
      turn,
      // Loading the same state twice is loading it once.
      repeatable: true,
      decode: async (): Promise<LoadWeightsResponse> => {
        const kept = await context.records.get(path);
        const response: LoadWeightsResponse = { path, modelId };
        if (request.optimizer && kept?.loopState !== undefined) response.loopState = kept.loopState;
        if (request.optimizer && kept?.metadata !== undefined) response.metadata = kept.metadata;
        return response;
      },
    },
  ).catch(typed);
  return { requestId: accepted.requestId, result: accepted.result.catch(typed) };
}
