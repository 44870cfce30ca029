/** Sends the parts of one batch in their turns. */
import type { Accepted, BackendModel, Turn } from './backend.ts';
import { partOf } from './chunking.ts';
import type { TrainingCall } from './training-call.ts';
import { meansServerGone, type ReservedTurns } from './turn-queue.ts';
import type { ForwardBackwardOutput } from './types.ts';

export interface SentPart {
  requestId: string | null;
  result: Promise<ForwardBackwardOutput>;
}

type Send = (call: TrainingCall, turn: Turn) => Promise<Accepted<ForwardBackwardOutput>>;

const refused = (error: unknown): SentPart => {
  const result = Promise.reject<ForwardBackwardOutput>(error as Error);
  result.catch(() => undefined);
  return { requestId: null, result };
};

async function sendOne(send: Send, call: TrainingCall, turn: Turn): Promise<SentPart> {
  const { requestId, result } = await send(call, turn);
  result.catch(() => undefined);
  return { requestId, result };
}

/**
 * Sends each range of the batch with the turn `firstTurn + i`. A part that is refused does not keep the others from
 * being sent, as a turn that was given out is always used; only a server that is gone ends it, with its error.
 */
export async function sendBatch(
  model: BackendModel,
  kind: 'forward' | 'forwardBackward',
  call: TrainingCall,
  ranges: readonly (readonly [number, number])[],
  turns: ReservedTurns,
  firstTurn = 0,
): Promise<SentPart[]> {
  const send: Send = (part, turn) =>
    kind === 'forward' ? model.forward(part, turn) : model.forwardBackward(part, turn);
  const start = (i: number): Promise<SentPart> => {
    const range = ranges[i];
    if (range === undefined) throw new RangeError(`There is no part ${String(i)}.`);
    return sendOne(send, partOf(call, range), turns.use(firstTurn + i, i === 0));
  };
  if (model.limits.parallel && ranges.length > 1) {
    // The server holds the later ones until the first is there, which is therefore sent last.
    const later = ranges.slice(1).map((_, i) => start(i + 1).catch(refused));
    const first = start(0).catch(refused);
    return Promise.all([first, ...later]);
  }
  const parts: SentPart[] = [];
  for (let i = 0; i < ranges.length; i++) {
    try {
      parts.push(await start(i));
    } catch (error) {
      if (meansServerGone(error)) throw error;
      parts.push(refused(error));
    }
  }
  return parts;
}
