/** Routes of a model's requests: each takes its turn by its number and is answered by a future. */
import type { z } from 'zod';
import type { BackendModel, Turn } from '../api/backend.ts';
import type { TrainingCall } from '../api/training-call.ts';
import type { ServeContext } from './context.ts';
import { fingerprint } from './fingerprint.ts';
import type { FutureValue } from './futures.ts';
import type { ModelEntry, ModelWork } from './models.ts';
import { mediaType } from './read-body.ts';
import { json, type Reply } from './reply.ts';
import { jsonBody, PROTOBUF, type RawCall, type Route } from './route.ts';
import { turnSchema } from './wire-requests.ts';

export interface TurnRouteOptions<B> {
  path: string;
  summary: string;
  body: z.ZodType<B>;
  /** Reads a body in protobuf as what it would be in JSON. */
  protobuf?: (bytes: Uint8Array) => unknown;
  /** A refused request leaves the gradient incomplete: the next step must not be made with what the others added. */
  addsGradient?: boolean;
  /** Checks the request, throwing for what is wrong with it, and gives what is to be done in its turn. */
  prepare: (body: B, entry: ModelEntry) => ModelWork;
}

/** A call that fails when it is looked at: it makes the backend drop the gradient at the next step, and say why. */
function refusedCall(reason: unknown): TrainingCall {
  return {
    get data(): TrainingCall['data'] {
      throw reason;
    },
    lossFn: 'cross_entropy',
    lossFnConfig: {},
  };
}

const markIncomplete =
  (reason: unknown): ModelWork =>
  async (model: BackendModel, turn: Turn) => {
    const { requestId, result } = await model.forwardBackward(refusedCall(reason), turn);
    return { requestId, result: result.then((output): FutureValue => ({ type: 'pass', output })) };
  };

/** Takes the turn with work; gives the id of the future. */
function take(
  { futures, models }: ServeContext,
  entry: ModelEntry,
  seqId: number | null,
  print: string,
  work: ModelWork,
): string {
  if (seqId === null) {
    futures.admit();
    return futures.open(() => models.issue(entry, 0, work)).id;
  }
  const known = entry.turns.known(seqId, print);
  if (known !== null) return known;
  futures.admit(entry.turns.isNext(seqId));
  let start: () => void = () => undefined;
  let giveUp: (reason: Error) => void = () => undefined;
  const began = new Promise<Promise<FutureValue>>((resolve, reject) => {
    start = () => resolve(models.issue(entry, seqId, work));
    giveUp = reject;
  });
  entry.turns.room(seqId);
  const { id } = futures.open(() => began.then((result) => result));
  entry.turns.add(seqId, print, { requestId: id, start, giveUp });
  return id;
}

/** Uses up the turn of a request that was refused: those behind it do not wait for it. */
function refuse(
  context: ServeContext,
  entry: ModelEntry,
  seqId: number | null,
  reason: unknown,
  addsGradient: boolean,
): void {
  if (!addsGradient) {
    if (seqId !== null) entry.turns.skip(seqId);
    return;
  }
  try {
    take(context, entry, seqId, `refused ${String(seqId)}`, markIncomplete(reason));
  } catch {
    // The number was used before, or there is no room: the refusal itself is the answer.
  }
}

export function turnRoute<B>(context: ServeContext, o: TurnRouteOptions<B>): Route {
  const addsGradient = o.addsGradient ?? false;
  const read = (raw: RawCall): unknown =>
    o.protobuf !== undefined && mediaType(raw.headers['content-type']) === PROTOBUF
      ? o.protobuf(raw.body)
      : jsonBody(raw);
  const handle = (raw: RawCall): Reply => {
    const value = read(raw);
    const { model_id: modelId, seq_id: given } = turnSchema.parse(value);
    const seqId = given ?? null;
    const entry = context.models.find(modelId);
    let work: ModelWork;
    let print: string;
    try {
      const body = o.body.parse(value);
      work = o.prepare(body, entry);
      print = seqId === null ? '' : fingerprint([o.path, body]);
    } catch (error) {
      refuse(context, entry, seqId, error, addsGradient);
      throw error;
    }
    return json({ request_id: take(context, entry, seqId, print, work), model_id: entry.id });
  };
  return {
    method: 'POST',
    path: o.path,
    summary: o.summary,
    body: o.body,
    query: null,
    protobuf: o.protobuf !== undefined,
    open: false,
    handle: (raw) => Promise.resolve().then(() => handle(raw)),
  };
}
