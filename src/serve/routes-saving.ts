/** Saves, and loads into a model that is there. */
import { checkMetadata, checkTtl } from '../api/parameters.ts';
import { UnsupportedFeatureError } from '../api/own-errors.ts';
import { checkName } from '../api/names.ts';
import type { Accepted, SavedSampler } from '../api/backend.ts';
import type { ServeContext } from './context.ts';
import { HttpFailure } from './failure.ts';
import type { FutureValue } from './futures.ts';
import type { ModelEntry } from './models.ts';
import type { Route } from './route.ts';
import { samplerId } from './sampler-id.ts';
import { turnRoute } from './turn-route.ts';
import { readMetadata } from './wire-read.ts';
import { saveSamplerSchema, saveWeightsSchema, turnSchema } from './wire-requests.ts';
import { tinkerPath } from './wire-write.ts';

/** Saves under a name follow one another: the second of one name must see the first. */
async function inRow<T>(entry: ModelEntry, save: () => Promise<Accepted<T>>): Promise<Accepted<T>> {
  await entry.saved;
  const accepted = await save();
  const over = (): void => undefined;
  entry.saved = accepted.result.then(over, over);
  return accepted;
}

const answer = (body: Record<string, unknown>): FutureValue => ({ type: 'json', body });

/** Enters what a save for sampling gave. */
async function enter(
  { samplers, sessions }: ServeContext,
  entry: ModelEntry,
  seq: number,
  saved: SavedSampler,
): Promise<FutureValue> {
  const type = 'save_weights_for_sampler';
  if (saved.kind === 'named') {
    const { path, snapshotName, sizeBytes } = saved.result;
    return answer({ type, path: tinkerPath(path), snapshot_name: snapshotName, size_bytes: sizeBytes });
  }
  const { sessionId } = entry;
  const id = samplerId(sessionId, seq);
  const source = { samplerId: saved.samplerId, snapshotName: saved.snapshotName };
  await samplers.open({ id, sessionId, modelPath: null }, source);
  sessions.find(sessionId).samplerIds.add(id);
  return answer({ type, path: null, sampling_session_id: id });
}

export function savingRoutes(context: ServeContext): Route[] {
  const { backend } = context;
  const checkedName = (name: string): string => {
    checkName(name, backend.names, 'lorikeet serve');
    return name;
  };
  return [
    turnRoute(context, {
      path: 'save_weights',
      summary: 'Saves weights, optimizer and position under a name.',
      body: saveWeightsSchema,
      prepare: (body, entry) => {
        const request = {
          name: checkedName(body.path),
          ttlSeconds: checkTtl(body.ttl_seconds, backend.minTtlSeconds),
          overwrite: body.overwrite ?? false,
          metadata: checkMetadata(readMetadata(body.user_metadata), 'user_metadata'),
          loopState: null,
          external: null,
        };
        return async (model, turn) => {
          const { requestId, result } = await inRow(entry, () => model.saveState(request, turn));
          const value = result.then(({ path, sizeBytes, digest, step }) =>
            answer({
              type: 'save_weights',
              path: tinkerPath(path),
              size_bytes: sizeBytes ?? null,
              digest: digest ?? null,
              step: step ?? null,
            }),
          );
          return { requestId, result: value };
        };
      },
    }),
    turnRoute(context, {
      path: 'save_weights_for_sampler',
      summary: 'Saves the weights for sampling: under a name, or as a snapshot for one sampling session.',
      body: saveSamplerSchema,
      prepare: (body, entry) => {
        const name = body.path ?? null;
        const seq = body.sampling_session_seq_id ?? null;
        if ((name === null) === (seq === null))
          throw new HttpFailure(400, 'A save for sampling has either a path or a sampling_session_seq_id.');
        if (body.kind !== null && body.kind !== undefined && body.kind !== 'snapshot') {
          throw new UnsupportedFeatureError({
            feature: `kind ${JSON.stringify(body.kind)}`,
            backend: 'lorikeet serve',
            why: 'a sampler answers with one snapshot of the weights',
            fix: 'Save a snapshot.',
          });
        }
        const request = {
          name: name === null ? null : checkedName(name),
          ttlSeconds: checkTtl(body.ttl_seconds, backend.minTtlSeconds),
          checkpointType: 'base' as const,
        };
        return async (model, turn) => {
          const save = (): Promise<Accepted<SavedSampler>> => model.saveWeightsForSampler(request, turn);
          const { requestId, result } = await (name === null ? save() : inRow(entry, save));
          return { requestId, result: result.then((saved) => enter(context, entry, seq ?? 0, saved)) };
        };
      },
    }),
    turnRoute(context, {
      path: 'save_weights_external',
      summary: 'Not done here: refused by name.',
      body: turnSchema,
      prepare: () => {
        throw new UnsupportedFeatureError({
          feature: 'save_weights_external',
          backend: 'lorikeet serve',
          fix: 'Save for sampling and download the archive, which PEFT loads.',
        });
      },
    }),
  ];
}
