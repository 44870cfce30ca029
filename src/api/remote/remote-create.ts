/** create_model on a server, and the load that may follow. When any step fails, the model is unloaded again. */
import type { CreatedModel, LoadRequest, ModelSpec } from '../backend.ts';
import { BadRequestError, RequestFailedError } from '../errors.ts';
import { UnsupportedFeatureError } from '../own-errors.ts';
import type { FullLoraConfig } from '../parameters.ts';
import type { GetServerCapabilitiesResponse, LoadWeightsResponse } from '../types.ts';
import { invalidAnswer } from './answer.ts';
import { pollResult } from './poll.ts';
import type { RemoteContext } from './remote-context.ts';
import { checkLoad, loadError, loadRemote, wirePath } from './remote-load.ts';
import { RemoteModel } from './remote-model.ts';
import { noticeMetadata } from './remote-notices.ts';
import { isJson, reader } from './wire-read.ts';

/** Throws what would change the training silently. */
function checkSpec(context: RemoteContext, spec: ModelSpec, server: GetServerCapabilitiesResponse): void {
  const { traits, warnings, strict } = context;
  const { lora, baseModel, targetModules } = spec;
  const known = server.supportedModels.map(({ modelName }) => modelName);
  if (known.length > 0 && !known.includes(baseModel)) {
    // Some servers accept any name and train another model.
    throw new BadRequestError({
      message: `${traits.label} does not serve ${JSON.stringify(baseModel)}.`,
      fix: `It serves ${known.slice(0, 10).join(', ')}.`,
    });
  }
  if (lora.alpha !== 32) {
    const feature = `alpha ${String(lora.alpha)}`;
    const why = 'alpha is always 32 there, and another scale would change the training';
    throw new UnsupportedFeatureError({ feature, backend: traits.label, why, fix: 'Use alpha 32.' });
  }
  if (targetModules !== null) {
    throw new UnsupportedFeatureError({
      feature: 'targetModules',
      backend: traits.label,
      fix: 'Use the train flags.',
    });
  }
  if (!traits.skyrlJax) return;
  for (const [name, flag] of [
    ['trainMlp', lora.trainMlp],
    ['trainAttn', lora.trainAttn],
  ] as const) {
    if (flag) continue;
    const why = 'it trains attention and MLP always';
    if (strict) throw new UnsupportedFeatureError({ feature: `${name}: false`, backend: traits.label, why });
    warnings.once({ code: 'OPTION_IGNORED', message: `SkyRL ignores ${name}: false; ${why}.` }, name);
  }
  if (spec.userMetadata !== null) noticeMetadata(context);
}

interface Made {
  modelId: string;
  /** As the server says it is. */
  lora: FullLoraConfig;
}

async function make(context: RemoteContext, spec: ModelSpec): Promise<Made> {
  const { transport, session, poll } = context;
  const { lora } = spec;
  const request = {
    method: 'POST',
    path: 'create_model',
    json: {
      session_id: session.id,
      model_seq_id: session.nextModelSeq(),
      base_model: spec.baseModel,
      user_metadata: spec.userMetadata,
      lora_config: {
        rank: lora.rank,
        seed: lora.seed,
        train_unembed: lora.trainUnembed,
        train_mlp: lora.trainMlp,
        train_attn: lora.trainAttn,
      },
      type: 'create_model',
    },
    signal: poll.signal,
  } as const;
  // Not sent twice: a second model would take a slot that nobody frees.
  const reply = await transport.request(request, {
    mode: 'refused-only',
    withinSeconds: context.timing.submitSeconds,
  });
  const r = reader(reply.body, 'create_model');
  const requestId = r.text('request_id');
  const answer = await pollResult(poll, requestId, { what: 'create_model', seqId: null, resubmit: null });
  const made = reader(answer.body, 'create_model');
  const modelId = made.optionalText('model_id') ?? r.optionalText('model_id');
  if (modelId === undefined) throw invalidAnswer('create_model', 'names no model');
  const base = made.optionalText('base_model');
  if (base !== undefined && base !== spec.baseModel) {
    throw new RequestFailedError({
      message: `The server made a model of ${base}, not of ${spec.baseModel}.`,
      requestId,
    });
  }
  const said = isJson(answer.body) ? answer.body['lora_config'] : undefined;
  if (said === undefined || said === null) return { modelId, lora };
  const config = reader(said, 'create_model');
  return {
    modelId,
    lora: {
      ...lora,
      rank: config.optionalNumber('rank') ?? lora.rank,
      alpha: config.optionalNumber('alpha') ?? lora.alpha,
      trainMlp: config.optionalBoolean('train_mlp') ?? lora.trainMlp,
      trainAttn: config.optionalBoolean('train_attn') ?? lora.trainAttn,
      trainUnembed: config.optionalBoolean('train_unembed') ?? lora.trainUnembed,
    },
  };
}

/** Both in one request, where the server's config says so. */
async function makeByLoad(
  context: RemoteContext,
  spec: ModelSpec,
  load: LoadRequest,
): Promise<{ modelId: string; loaded: LoadWeightsResponse }> {
  const { transport, session, poll, records } = context;
  const seq = session.nextModelSeq();
  const path = wirePath(load);
  const json = {
    session_id: session.id,
    model_seq_id: seq,
    path,
    optimizer: load.optimizer,
    weights_access_token: load.weightsAccessToken,
    base_model: spec.baseModel,
    user_metadata: spec.userMetadata,
    type: 'load_weights',
  };
  try {
    const reply = await transport.request(
      { method: 'POST', path: 'load_weights', json, signal: poll.signal },
      { mode: 'refused-only', withinSeconds: context.timing.submitSeconds },
    );
    const r = reader(reply.body, 'load_weights');
    const answer = await pollResult(poll, r.text('request_id'), {
      what: 'load_weights',
      seqId: 0,
      resubmit: null,
    });
    const modelId =
      reader(answer.body, 'load_weights').optionalText('model_id') ?? `${session.id}:train:${String(seq)}`;
    const kept = load.optimizer ? await records.get(path) : undefined;
    const { loopState, metadata } = kept ?? {};
    const loaded = {
      path,
      modelId,
      ...(loopState === undefined ? {} : { loopState }),
      ...(metadata === undefined ? {} : { metadata }),
    };
    return { modelId, loaded };
  } catch (error) {
    throw loadError(error, load);
  }
}

export async function createRemoteModel(
  context: RemoteContext,
  spec: ModelSpec,
  load: LoadRequest | null,
  server: GetServerCapabilitiesResponse,
): Promise<CreatedModel> {
  checkSpec(context, spec, server);
  if (load !== null) checkLoad(context, load);
  const remake = async (): Promise<string> => (await make(context, spec)).modelId;
  const { baseModel } = spec;
  const keep = async (modelId: string, lora: FullLoraConfig): Promise<void> => {
    const { userMetadata } = spec;
    await context.records.set(modelId, { lora, ...(userMetadata === null ? {} : { userMetadata }) });
  };
  if (load !== null && context.traits.createViaLoad) {
    const { modelId, loaded } = await makeByLoad(context, spec, load);
    await keep(modelId, spec.lora);
    const model = new RemoteModel(context, {
      runId: modelId,
      baseModel,
      lora: spec.lora,
      firstSeqId: 1,
      remake,
    });
    return { model, loaded };
  }
  const { modelId, lora } = await make(context, spec);
  await keep(modelId, lora);
  const model = new RemoteModel(context, {
    runId: modelId,
    baseModel,
    lora,
    firstSeqId: load === null ? 1 : 2,
    remake,
  });
  if (load === null) return { model, loaded: null };
  try {
    const { result } = await loadRemote(context, modelId, load, 1, null);
    return { model, loaded: await result };
  } catch (error) {
    await model.unload();
    throw error;
  }
}
