/** A training client from saved state: the checkpoint's settings, a model with the same, then the load. */
import type { LoadRequest } from './backend.ts';
import type { ClientHost } from './client-host.ts';
import { BaseModelMismatchError } from './own-errors.ts';
import { checkLora } from './parameters.ts';
import { parseCheckpointPath } from './paths.ts';
import { resolveKind } from './resolve-kind.ts';
import { TrainingClient } from './training-client.ts';

export interface OpenFromStateOptions {
  optimizer: boolean;
  /** Where given, it must be the checkpoint's. */
  baseModel?: string;
  userMetadata?: Readonly<Record<string, string>>;
  weightsAccessToken?: string;
}

/** Nothing of the client remains when a step fails: the backend unloads the model before it rejects. */
export async function openFromState(
  host: ClientHost,
  path: string,
  options: OpenFromStateOptions,
): Promise<TrainingClient> {
  const { backend } = host;
  const parsed = await resolveKind(backend.registry, parseCheckpointPath(path, { assume: 'training' }));
  await host.cold.warm(parsed);
  const token = options.weightsAccessToken ?? null;
  const info = await backend.registry.weightsInfo(parsed, token);
  if (options.baseModel !== undefined && options.baseModel !== info.baseModel) {
    throw new BaseModelMismatchError({
      message: `${parsed.path} was trained on ${info.baseModel}, not on ${options.baseModel}.`,
      field: 'baseModel',
      expected: options.baseModel,
      actual: info.baseModel,
    });
  }
  const { loraRank, alpha, trainMlp, trainAttn, trainUnembed } = info;
  const lora = checkLora({
    ...(loraRank === undefined ? {} : { rank: loraRank }),
    ...(alpha === undefined ? {} : { alpha }),
    ...(trainMlp === undefined ? {} : { trainMlp }),
    ...(trainAttn === undefined ? {} : { trainAttn }),
    ...(trainUnembed === undefined ? {} : { trainUnembed }),
  });
  const load: LoadRequest = { path: parsed, optimizer: options.optimizer, weightsAccessToken: token };
  const spec = {
    baseModel: info.baseModel,
    lora,
    targetModules: info.targetModules ?? null,
    userMetadata: options.userMetadata ?? null,
  };
  const { model, loaded } = await backend.createModel(spec, load);
  return new TrainingClient(host, model, {
    loopState: options.optimizer ? loaded?.loopState : undefined,
    metadata: options.optimizer ? loaded?.metadata : undefined,
    step: options.optimizer ? loaded?.step : undefined,
  });
}
