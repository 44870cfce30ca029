/** Models: made, made from a checkpoint, loaded into, described and unloaded. */
import type { LoadRequest } from '../api/backend.ts';
import { BadRequestError } from '../api/errors.ts';
import { checkLora, checkMetadata, type FullLoraConfig } from '../api/parameters.ts';
import type { LoadWeightsResponse, LoraConfig, WeightsInfoResponse } from '../api/types.ts';
import { z } from 'zod';
import type { ServeContext } from './context.ts';
import { fingerprint } from './fingerprint.ts';
import type { FutureValue } from './futures.ts';
import { readPath } from './paths.ts';
import { json, type Reply } from './reply.ts';
import { jsonBody, route, type Route } from './route.ts';
import { turnRoute } from './turn-route.ts';
import { checkOptimizer, readMetadata } from './wire-read.ts';
import { createModelSchema, loadWeightsSchema, modelSchema } from './wire-requests.ts';
import { tinkerPath, writeInfo } from './wire-write.ts';

const namedModel = z.object({ model_id: z.unknown().optional() });

type WireLora = z.infer<typeof createModelSchema>['lora_config'];
type WireLoad = z.infer<typeof loadWeightsSchema>;

function readLora(wire: WireLora): FullLoraConfig {
  const config: Partial<LoraConfig> = {};
  if (wire !== null && wire !== undefined) {
    config.rank = wire.rank;
    if (typeof wire.seed === 'number') config.seed = wire.seed;
    if (typeof wire.alpha === 'number') config.alpha = wire.alpha;
    if (typeof wire.train_unembed === 'boolean') config.trainUnembed = wire.train_unembed;
    if (typeof wire.train_mlp === 'boolean') config.trainMlp = wire.train_mlp;
    if (typeof wire.train_attn === 'boolean') config.trainAttn = wire.train_attn;
  }
  return checkLora(config);
}

/** The settings of a checkpoint's adapter. */
function loraOf(info: WeightsInfoResponse): FullLoraConfig {
  const config: Partial<LoraConfig> = {};
  if (info.loraRank !== undefined) config.rank = info.loraRank;
  if (info.alpha !== undefined) config.alpha = info.alpha;
  if (info.trainMlp !== undefined) config.trainMlp = info.trainMlp;
  if (info.trainAttn !== undefined) config.trainAttn = info.trainAttn;
  if (info.trainUnembed !== undefined) config.trainUnembed = info.trainUnembed;
  return checkLora(config);
}

const loadOf = (context: ServeContext, body: WireLoad): LoadRequest => ({
  path: readPath(context.models, body.path, 'training'),
  optimizer: body.optimizer,
  weightsAccessToken: body.weights_access_token ?? null,
});

const loadedBody = (loaded: LoadWeightsResponse, modelId: string): Record<string, unknown> => ({
  type: 'load_weights',
  path: loaded.path === undefined ? null : tinkerPath(loaded.path),
  model_id: modelId,
  step: loaded.step ?? null,
});

const accepted = (requestId: string, modelId?: string): Reply =>
  json({ request_id: requestId, ...(modelId === undefined ? {} : { model_id: modelId }) });

function createModel(context: ServeContext, body: z.infer<typeof createModelSchema>): Reply {
  checkOptimizer(body.optimizer_config);
  const lora = readLora(body.lora_config);
  const spec = {
    baseModel: body.base_model,
    lora,
    targetModules: null,
    userMetadata: checkMetadata(readMetadata(body.user_metadata), 'user_metadata'),
  };
  const key = {
    sessionId: body.session_id,
    seq: body.model_seq_id,
    print: fingerprint(['create_model', body]),
  };
  const future = context.models.create(
    key,
    (backend) => backend.createModel(spec, null),
    ({ id, model }) => ({
      type: 'create_model',
      model_id: id,
      base_model: model.baseModel,
      lora_config: {
        rank: model.lora.rank,
        alpha: model.lora.alpha,
        seed: model.lora.seed,
        train_unembed: model.lora.trainUnembed,
        train_mlp: model.lora.trainMlp,
        train_attn: model.lora.trainAttn,
      },
    }),
  );
  return accepted(future.id);
}

/** One request makes the model with the settings of the checkpoint, and loads it. */
function createByLoad(context: ServeContext, body: WireLoad, sessionId: string, seq: number): Reply {
  checkOptimizer(body.optimizer_config);
  const load = loadOf(context, body);
  const userMetadata = checkMetadata(readMetadata(body.user_metadata), 'user_metadata');
  const future = context.models.create(
    { sessionId, seq, print: fingerprint(['load_weights', body]) },
    async (backend) => {
      const info = await backend.registry.weightsInfo(load.path, load.weightsAccessToken);
      const spec = {
        baseModel: body.base_model ?? info.baseModel,
        lora: loraOf(info),
        targetModules: info.targetModules ?? null,
        userMetadata,
      };
      return backend.createModel(spec, load);
    },
    ({ id }, { loaded }) => loadedBody(loaded ?? {}, id),
  );
  return accepted(future.id);
}

export function modelRoutes(context: ServeContext): Route[] {
  const { models, sessions, futures, backend, options } = context;
  const intoModel = turnRoute(context, {
    path: 'load_weights',
    summary: 'Loads a checkpoint into a model, or makes a model from it (session_id and model_seq_id).',
    body: loadWeightsSchema,
    prepare: (body, entry) => {
      const load = loadOf(context, body);
      return async (model, turn) => {
        const { requestId, result } = await model.load(load, turn);
        const value = result.then((loaded): FutureValue => ({
          type: 'json',
          body: loadedBody(loaded, entry.id),
        }));
        return { requestId, result: value };
      };
    },
  });
  const byLoad = route({
    method: 'POST',
    path: 'load_weights',
    summary: intoModel.summary,
    body: loadWeightsSchema,
    handle: ({ body }) => {
      const { session_id: sessionId, model_seq_id: seq, model_id: modelId } = body;
      if (typeof sessionId === 'string' && typeof seq === 'number' && typeof modelId !== 'string')
        return createByLoad(context, body, sessionId, seq);
      throw new BadRequestError({
        message: 'load_weights needs either model_id and seq_id, or session_id and model_seq_id.',
        fix: 'Send one pair of them.',
      });
    },
  });
  return [
    route({
      method: 'POST',
      path: 'create_model',
      summary: 'Makes a fresh adapter.',
      body: createModelSchema,
      handle: ({ body }) => createModel(context, body),
    }),
    {
      ...intoModel,
      // Which of the two it is stands in the body.
      handle: async (raw) => {
        const { model_id: modelId } = namedModel.parse(jsonBody(raw));
        return typeof modelId === 'string' ? intoModel.handle(raw) : byLoad.handle(raw);
      },
    },
    route({
      method: 'POST',
      path: 'get_info',
      summary: 'What a model is.',
      body: modelSchema,
      handle: async ({ body }) => {
        const entry = models.find(body.model_id);
        const info = await entry.model.info();
        return json(writeInfo(info, entry.id, options.tokenizerFolder(entry.model.baseModel)));
      },
    }),
    route({
      method: 'POST',
      path: 'unload_model',
      summary: 'Lets a model go; what was not saved is lost.',
      body: modelSchema,
      handle: ({ body }) => {
        const entry = models.find(body.model_id);
        futures.admit(true);
        const future = futures.open(async () => {
          await models.unload(entry);
          sessions
            .list()
            .find(({ id }) => id === entry.sessionId)
            ?.modelIds.delete(entry.id);
          return { type: 'json', body: { type: 'unload_model', model_id: entry.id } };
        });
        return accepted(future.id, entry.id);
      },
    }),
    route({
      method: 'GET',
      path: 'get_server_capabilities',
      summary: 'The base models that can be trained.',
      handle: async () => {
        const { supportedModels } = await backend.serverCapabilities();
        return json({
          supported_models: supportedModels.map(({ modelName, maxContextLength }) => ({
            model_name: modelName,
            max_context_length: maxContextLength ?? null,
            trainable: true,
            sampleable: true,
          })),
        });
      },
    }),
  ];
}
