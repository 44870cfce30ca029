/** What the parts of a remote backend share. */
import type { FullLoraConfig } from '../parameters.ts';
import type { LoopState, Metadata } from '../types.ts';
import type { WarningSink } from '../warnings.ts';
import { APIConnectionError } from '../errors.ts';
import { invalidAnswer, recordOf } from './answer.ts';
import type { Traits } from './dialect.ts';
import { pollResult, type PollContext, type PollOptions } from './poll.ts';
import type { Limiter } from '../limiter.ts';
import type { Session } from './session.ts';
import type { SnapshotGuard } from './snapshot-guard.ts';
import { LostConnection, type Request, type Transport } from './transport.ts';
import type { Timing } from './timing.ts';
import type { Accepted, Turn } from '../backend.ts';
import type { Reply } from './answer.ts';

/** What we know of a checkpoint or run that the server does not keep. */
export interface RemoteRecord {
  metadata?: Metadata;
  loopState?: LoopState;
  lora?: FullLoraConfig;
  userMetadata?: Readonly<Record<string, string>>;
  step?: number;
}

/** Where such records are kept, by path or run id; in memory unless the caller keeps them longer. */
export interface RemoteRecords {
  get(key: string): RemoteRecord | undefined | Promise<RemoteRecord | undefined>;
  set(key: string, record: RemoteRecord): void | Promise<void>;
}

export interface RemoteContext {
  transport: Transport;
  timing: Timing;
  warnings: WarningSink;
  traits: Traits;
  session: Session;
  guard: SnapshotGuard;
  records: RemoteRecords;
  poll: PollContext;
  /** Options that would be ignored are errors instead of warnings. */
  strict: boolean;
  emulateSumLoss: boolean;
  contextLength: (baseModel: string) => number | null;
  /** Bytes of training and of sampling requests on their way. */
  dispatch: { training: Limiter; sampling: Limiter };
  /** Sampling sessions that were made and not yet opened: whoever opens one next is its first client. */
  freshSamplers: Set<string>;
  /** Models in training by this backend; what ends them. */
  models: Map<string, () => Promise<void>>;
}

const LOST_FIX = 'The server may or may not have counted it: go on from the last checkpoint.';

/**
 * Submits a request that is answered by a future, and gives its result. `repeatable` requests are sent again after a lost
 * answer; others only where they were certainly not taken.
 */
export async function submit<T>(
  context: RemoteContext,
  request: Request,
  o: {
    turn: Turn | null;
    repeatable: boolean;
    accept?: string;
    /** Room that the request takes while it is sent; null sends at once. */
    room?: { limiter: Limiter; bytes: number } | null;
    /** What has to come before the result is asked for. */
    before?: (requestId: string) => Promise<void>;
    decode: (reply: Reply) => T | Promise<T>;
  },
): Promise<Accepted<T>> {
  const seqId = o.turn?.seqId ?? null;
  const what = request.path;
  const send = async (): Promise<string> => {
    const mode = o.repeatable ? 'safe' : 'refused-only';
    const retry = { mode, withinSeconds: context.timing.submitSeconds } as const;
    const post = (): Promise<Reply> =>
      context.transport.request(
        { ...request, signal: context.poll.signal },
        seqId === null ? retry : { ...retry, seqId },
      );
    const { room = null } = o;
    const reply = await (room === null ? post() : room.limiter.run(post, room.bytes));
    const id = recordOf(what, reply)['request_id'];
    if (typeof id === 'string' && id !== '') return id;
    if (typeof id === 'number') return String(id);
    throw invalidAnswer(what, 'has no request_id');
  };
  let requestId: string;
  try {
    requestId = await send();
  } catch (error) {
    if (o.repeatable || !(error instanceof LostConnection) || !error.sent) throw error;
    throw new APIConnectionError({
      message: error.message,
      seqId,
      retryable: false,
      cause: error,
      fix: LOST_FIX,
    });
  }
  const turn = o.turn;
  const ready = o.before?.(requestId) ?? Promise.resolve();
  const options: PollOptions = {
    what,
    seqId,
    resubmit: o.repeatable ? send : null,
    ...(o.accept === undefined ? {} : { accept: o.accept }),
    ...(turn === null
      ? {}
      : {
          onQueueState: (state, reason) => {
            turn.onQueueState(state, reason);
          },
        }),
  };
  const result = ready.then(() => pollResult(context.poll, requestId, options)).then(o.decode);
  result.catch(() => undefined);
  return { requestId, result };
}
