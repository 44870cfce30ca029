/** Both kinds of save of a model in training. */
import type { Accepted, SavedSampler, SaveSamplerRequest, SaveStateRequest, Turn } from '../backend.ts';
import { UnsupportedFeatureError } from '../own-errors.ts';
import type { FullLoraConfig } from '../parameters.ts';
import { formatPath, parseCheckpointPath } from '../paths.ts';
import type { SaveWeightsResponse } from '../types.ts';
import { invalidAnswer } from './answer.ts';
import type { RemoteContext } from './remote-context.ts';
import { noticeMetadata, noticeTtl } from './remote-notices.ts';
import { sendSave } from './remote-save.ts';
import { reader } from './wire-read.ts';

interface Saving {
  modelId: string;
  lora: FullLoraConfig;
}

/** 8 hex digits of a text, for names of snapshots. */
function shortHash(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, '0');
}

export async function saveRemoteState(
  context: RemoteContext,
  { modelId, lora }: Saving,
  request: SaveStateRequest,
  turn: Turn,
  seq: () => number,
): Promise<Accepted<SaveWeightsResponse>> {
  const { traits, records } = context;
  const { name, metadata, loopState, ttlSeconds, overwrite } = request;
  if (request.external !== null) {
    const why = 'it saves to its own store only';
    throw new UnsupportedFeatureError({
      feature: 'saveWeightsExternal',
      backend: traits.label,
      why,
      seqId: turn.seqId,
    });
  }
  noticeTtl(context, ttlSeconds);
  if (metadata !== null || loopState !== null) noticeMetadata(context);
  const json = {
    model_id: modelId,
    path: name,
    seq_id: seq(),
    ttl_seconds: ttlSeconds,
    overwrite,
    type: 'save_weights',
  };
  const { seqId } = turn;
  const o = { path: 'save_weights', json, modelId, name, type: 'training', seqId, overwrite } as const;
  const { requestId, result } = await sendSave(context, o);
  const finish = result.then(async (saved): Promise<SaveWeightsResponse> => {
    const given = 'path' in saved ? saved.path : reader(saved.reply.body, o.path).text('path');
    const { path } = parseCheckpointPath(given);
    await records.set(path, {
      lora,
      ...(metadata === null ? {} : { metadata }),
      ...(loopState === null ? {} : { loopState }),
    });
    return {
      path,
      type: 'save_weights',
      ...(metadata === null ? {} : { metadata }),
      ...(loopState === null ? {} : { step: loopState.step }),
    };
  });
  return { requestId, result: finish };
}

export async function saveRemoteSampler(
  context: RemoteContext,
  { modelId, lora }: Saving,
  request: SaveSamplerRequest,
  turn: Turn,
  seq: () => number,
): Promise<Accepted<SavedSampler>> {
  const { traits, guard, session, records } = context;
  const { name } = request;
  if (request.checkpointType !== 'base') {
    throw new UnsupportedFeatureError({
      feature: `checkpointType ${request.checkpointType}`,
      backend: traits.label,
      why: 'it stores adapters whole',
      seqId: turn.seqId,
      fix: 'Use checkpointType: "base".',
    });
  }
  noticeTtl(context, request.ttlSeconds);
  const snapshotName = `${name ?? 'snapshot'}-${shortHash(`${modelId} ${String(turn.seqId)}`)}`;
  // What is trained from here on is another version; until the server tells its name, the snapshot has ours.
  const named = name === null ? null : formatPath('tinker', modelId, 'sampler', name);
  const known = named ?? `unnamed ${snapshotName}`;
  guard.saved(modelId, known);
  const json = {
    model_id: modelId,
    seq_id: seq(),
    ttl_seconds: request.ttlSeconds,
    type: 'save_weights_for_sampler',
    ...(name === null ? { sampling_session_seq_id: session.nextSamplingSeq() } : { path: name }),
  };
  const { seqId } = turn;
  const o = {
    path: 'save_weights_for_sampler',
    json,
    modelId,
    name,
    type: 'sampler',
    seqId,
    overwrite: false,
  } as const;
  const { requestId, result } = await sendSave(context, o);
  const finish = result.then(async (saved): Promise<SavedSampler> => {
    if (named !== null) {
      await records.set(named, { lora });
      const stored = { checkpointType: 'base', sizeBytes: null, compressionRatio: 1 } as const;
      return { kind: 'named', result: { path: named, snapshotName, ...stored } };
    }
    if ('path' in saved) throw invalidAnswer(o.path, 'names no sampling session');
    const samplerId = reader(saved.reply.body, o.path).text('sampling_session_id');
    guard.rename(known, samplerId);
    context.freshSamplers.add(samplerId);
    return { kind: 'ephemeral', samplerId, snapshotName };
  });
  return { requestId, result: finish };
}
