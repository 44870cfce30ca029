/** Runs and checkpoints. */
import { UnsupportedFeatureError } from '../api/own-errors.ts';
import { checkTtl } from '../api/parameters.ts';
import { sortCheckpoints } from '../api/list-order.ts';
import type { ServeContext } from './context.ts';
import { pathOfParams, readPath } from './paths.ts';
import { json, type Reply } from './reply.ts';
import { route, type Method, type Route } from './route.ts';
import { copySchema, pageQuery, runsQuery, ttlSchema, weightsInfoSchema } from './wire-requests.ts';
import { tinkerPath, writeCheckpoint, writeRun, writeWeightsInfo } from './wire-write.ts';

/** A route of one checkpoint is there twice: with the kind in its path, and with a bare name. */
export function ofCheckpoint(tail: string, make: (path: string) => Route): Route[] {
  const base = 'training_runs/:run/checkpoints';
  return [make(`${base}/:kind=weights|sampler_weights/:name${tail}`), make(`${base}/:name${tail}`)];
}

const done = (): Reply => json({});

export function registryRoutes(context: ServeContext): Route[] {
  const { backend, models, futures } = context;
  const { registry } = backend;
  const publish = (method: Method, value: boolean): Route[] =>
    ofCheckpoint('/publish', (path) =>
      route({
        method,
        path,
        summary: value ? 'Marks a checkpoint as public.' : 'Takes the mark away.',
        handle: async ({ params }) => {
          await registry.setPublic(pathOfParams(models, params), value);
          return done();
        },
      }),
    );
  return [
    route({
      method: 'GET',
      path: 'training_runs',
      summary: 'The runs, newest first.',
      query: runsQuery,
      handle: async ({ query }) => {
        const { limit, offset, access_scope: scope, project_id: projectId = null } = query;
        const { trainingRuns, cursor } = await registry.listTrainingRuns({ limit, offset, scope, projectId });
        return json({
          training_runs: trainingRuns.map(writeRun),
          cursor: { offset: cursor.offset, limit: cursor.limit, total_count: cursor.totalCount },
        });
      },
    }),
    route({
      method: 'GET',
      path: 'training_runs/:run',
      summary: 'A run.',
      handle: async ({ params }) =>
        json(writeRun(await registry.getTrainingRun(models.runOf(params['run'] ?? ''), 'owned'))),
    }),
    route({
      method: 'GET',
      path: 'training_runs/:run/checkpoints',
      summary: 'The checkpoints of a run, oldest first.',
      handle: async ({ params }) => {
        const rows = await registry.listCheckpoints(models.runOf(params['run'] ?? ''));
        return json({ checkpoints: sortCheckpoints(rows).map(writeCheckpoint) });
      },
    }),
    route({
      method: 'GET',
      path: 'checkpoints',
      summary: 'The checkpoints of all runs.',
      query: pageQuery,
      handle: async ({ query: { limit, offset } }) => {
        const { checkpoints, cursor } = await registry.listUserCheckpoints({ limit, offset });
        return json({
          checkpoints: checkpoints.map(writeCheckpoint),
          cursor: { offset, limit, total_count: cursor?.totalCount ?? checkpoints.length },
        });
      },
    }),
    route({
      method: 'GET',
      path: 'checkpoints/storage_usage',
      summary: 'How many bytes the store holds.',
      handle: async () => {
        const { usedBytes, quotaBytes } = await registry.storageUsage();
        return json({ used_bytes: usedBytes, quota_bytes: quotaBytes });
      },
    }),
    route({
      method: 'POST',
      path: 'weights_info',
      summary: 'What a model must be to load a checkpoint.',
      body: weightsInfoSchema,
      handle: async ({ body }) => {
        const path = readPath(models, body.tinker_path, 'training');
        return json(writeWeightsInfo(await registry.weightsInfo(path, body.weights_access_token ?? null)));
      },
    }),
    ...ofCheckpoint('', (path) =>
      route({
        method: 'DELETE',
        path,
        summary: 'Deletes a checkpoint.',
        handle: async ({ params }) => {
          await registry.deleteCheckpoint(pathOfParams(models, params));
          return done();
        },
      }),
    ),
    ...publish('POST', true),
    ...publish('DELETE', false),
    ...ofCheckpoint('/ttl', (path) =>
      route({
        method: 'PUT',
        path,
        summary: 'Sets or removes the time to live.',
        body: ttlSchema,
        handle: async ({ params, body }) => {
          const seconds = checkTtl(body.ttl_seconds, backend.minTtlSeconds);
          await registry.setTtl(pathOfParams(models, params), seconds);
          return done();
        },
      }),
    ),
    ...ofCheckpoint('/external_weights_urls', (path) =>
      route({
        method: 'GET',
        path,
        summary: 'Not done here: refused by name.',
        handle: () => {
          throw new UnsupportedFeatureError({
            feature: 'external_weights_urls',
            backend: 'lorikeet serve',
            fix: 'Download the archive instead.',
          });
        },
      }),
    ),
    route({
      method: 'POST',
      path: 'copy_weights',
      summary: 'Copies a checkpoint into a run of its own.',
      body: copySchema,
      handle: async ({ body }) => {
        const path = readPath(models, body.source_path, 'training');
        const copy = await registry.copyWeights(path, {
          ttlSeconds: checkTtl(body.ttl_seconds, backend.minTtlSeconds),
          weightsAccessToken: body.weights_access_token ?? null,
        });
        const tinker = tinkerPath(copy);
        // Some clients take the path from here, others from a future.
        const { id } = futures.open(() => Promise.resolve({ type: 'json', body: { path: tinker } }));
        return json({ tinker_path: tinker, request_id: id });
      },
    }),
  ];
}
