/** Saves that meet a lost answer or a name that is taken, without ever saving twice or under another name. */
import { backoffSeconds, sleep } from '../backoff.ts';
import type { Accepted } from '../backend.ts';
import { APIConnectionError, APIStatusError, ConflictError, InternalServerError } from '../errors.ts';
import { CheckpointExistsError, UnsupportedFeatureError } from '../own-errors.ts';
import { formatPath, kindOf } from '../paths.ts';
import type { CheckpointType } from '../types.ts';
import { invalidAnswer, recordOf, type Reply } from './answer.ts';
import { pollResult } from './poll.ts';
import type { RemoteContext } from './remote-context.ts';
import { LostConnection } from './transport.ts';
import { decodeCheckpoints } from './wire-registry.ts';
import { reader } from './wire-read.ts';

export interface SaveOptions {
  path: 'save_weights' | 'save_weights_for_sampler';
  json: Record<string, unknown>;
  modelId: string;
  /** Null for a snapshot without a name. */
  name: string | null;
  type: CheckpointType;
  seqId: number;
  overwrite: boolean;
}

/** What the server's result or the list says of the saved checkpoint. */
export type SavedAs = { path: string } | { reply: Reply };

const RESENDS = 1;

/** The answer may have been lost: the request was perhaps taken all the same. */
const answerLost = (error: unknown): boolean =>
  error instanceof APIConnectionError ||
  error instanceof InternalServerError ||
  (error instanceof APIStatusError && error.status === 408);

/** Waits until a checkpoint is listed; a save that is still being written is listed later. */
async function waitListed(context: RemoteContext, o: SaveOptions): Promise<string> {
  const { transport, timing } = context;
  const until = Date.now() + timing.submitSeconds * 1000;
  const wanted = `${kindOf(o.type)}/${o.name ?? ''}`;
  for (let i = 0; ; i++) {
    const reply = await transport.request(
      { method: 'GET', path: `training_runs/${o.modelId}/checkpoints`, signal: context.poll.signal },
      { mode: 'safe' },
    );
    const rows = decodeCheckpoints(reader(reply.body, o.path).list('checkpoints'), o.path);
    if (rows.some(({ checkpointId }) => checkpointId === wanted))
      return formatPath('tinker', o.modelId, o.type, o.name ?? '');
    if (Date.now() > until)
      throw new APIConnectionError({ message: `The save ${o.name ?? ''} is not listed.`, seqId: o.seqId });
    await sleep(
      backoffSeconds(i, { first: timing.firstBackoff, most: timing.maxBackoff }),
      context.poll.signal,
    );
  }
}

const exists = (o: SaveOptions, error: unknown): CheckpointExistsError =>
  new CheckpointExistsError({
    message: `There is a checkpoint ${JSON.stringify(o.name)} of ${o.modelId} already.`,
    seqId: o.seqId,
    cause: error,
  });

async function remove(context: RemoteContext, o: SaveOptions): Promise<void> {
  if (!context.traits.deletes) {
    throw new UnsupportedFeatureError({
      feature: 'overwrite',
      backend: context.traits.label,
      why: 'it can neither overwrite nor delete a checkpoint',
      seqId: o.seqId,
      fix: 'Use a new name.',
    });
  }
  const path = `training_runs/${o.modelId}/checkpoints/${kindOf(o.type)}/${o.name ?? ''}`;
  await context.transport.request({ method: 'DELETE', path, signal: context.poll.signal }, { mode: 'safe' });
}

/**
 * Sends a save. A 409 counts as success only where this very save was sent before and its answer lost; on the first
 * attempt it is CheckpointExistsError. With `overwrite` the old one is deleted, then saved again.
 */
export async function sendSave(context: RemoteContext, o: SaveOptions): Promise<Accepted<SavedAs>> {
  const { transport, timing } = context;
  const request = { method: 'POST', path: o.path, json: o.json, signal: context.poll.signal } as const;
  let sentBefore = false;
  let removed = false;
  for (let resends = 0; ;) {
    try {
      const reply = await transport.request(request, { mode: 'none', seqId: o.seqId });
      const requestId = recordOf(o.path, reply)['request_id'];
      if (typeof requestId !== 'string') throw invalidAnswer(o.path, 'has no request_id');
      const polled = pollResult(context.poll, requestId, { what: o.path, seqId: o.seqId, resubmit: null });
      const result = polled.then((answer): SavedAs => ({ reply: answer }));
      result.catch(() => undefined);
      return { requestId, result };
    } catch (error) {
      if (error instanceof ConflictError && o.name !== null) {
        if (sentBefore) {
          const listed = waitListed(context, o).then((path): SavedAs => ({ path }));
          listed.catch(() => undefined);
          return { requestId: `conflict-${String(o.seqId)}`, result: listed };
        }
        if (!o.overwrite || removed) throw exists(o, error);
        await remove(context, o);
        removed = true;
        continue;
      }
      if (!answerLost(error) || resends >= RESENDS || o.name === null) throw error;
      resends += 1;
      // A connection that never came about left nothing behind.
      sentBefore ||= !(error instanceof LostConnection && !error.sent);
      await sleep(
        backoffSeconds(0, { first: timing.firstBackoff, most: timing.maxBackoff }),
        context.poll.signal,
      );
    }
  }
}
