/** Asks for the result of an accepted request until it is there, within the rules of the protocol. */
import { backoffSeconds, sleep } from '../backoff.ts';
import { RequestFailedError } from '../errors.ts';
import type { Limiter } from '../limiter.ts';
import type { QueueState } from '../types.ts';
import { errorOfReply, invalidAnswer, wordsOf, type Reply } from './answer.ts';
import type { Timing } from './timing.ts';
import { failureOf } from './typed-failure.ts';
import { LostConnection, type Transport } from './transport.ts';

export interface PollContext {
  transport: Transport;
  timing: Timing;
  /** Requests that wait for an answer at once: pages have few connections. */
  polls: Limiter;
  /** Bytes of results on their way. */
  payload: Limiter;
  /** Aborted when the backend is closed. */
  signal: AbortSignal;
  waitOnBilling: boolean;
  count(what: 'polls' | 'resubmits'): void;
}

export interface PollOptions {
  /** For messages, such as `forward_backward`. */
  what: string;
  seqId: number | null;
  accept?: string;
  onQueueState?: (state: QueueState, reason?: string) => void;
  /** Sends the request again under the same seq_id after its promise was lost; null where that is not safe. */
  resubmit: (() => Promise<string>) | null;
}

const MAX_RESUBMITS = 3;
const MAX_BAD_REQUESTS = 3;

function queueState(value: unknown): QueueState {
  return value === 'active' || value === 'paused_capacity' || value === 'paused_rate_limit'
    ? value
    : 'unknown';
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Resolves with the answer that holds the result. Throws the typed error of the protocol. */
export async function pollResult(context: PollContext, requestId: string, o: PollOptions): Promise<Reply> {
  const { transport, timing, signal } = context;
  let id = requestId;
  let metadataOnly = true;
  let badRequests = 0;
  let serverErrors = 0;
  let resubmits = 0;
  let failures = 0;
  let unreachableSince: number | null = null;
  let billingSince: number | null = null;
  let payloadBytes = 0;
  const ids = (): { requestId: string; seqId: number | null } => ({ requestId: id, seqId: o.seqId });

  const ask = (iteration: number): Promise<Reply> =>
    context.polls.run(() =>
      transport.send({
        method: 'POST',
        path: 'retrieve_future',
        json: { request_id: id, allow_metadata_only: metadataOnly },
        headers: { 'X-Tinker-Request-Iteration': String(iteration), 'X-Tinker-Request-Type': o.what },
        timeoutSeconds: timing.pollSeconds,
        signal,
        ...(o.accept === undefined ? {} : { accept: o.accept }),
      }),
    );

  for (let iteration = 0; ; iteration++) {
    const asked = Date.now();
    context.count('polls');
    let reply: Reply;
    try {
      reply = await (payloadBytes > 0
        ? context.payload.run(() => ask(iteration), payloadBytes)
        : ask(iteration));
    } catch (error) {
      if (!(error instanceof LostConnection)) throw error;
      // No answer within the time of one poll is how long polls end; anything else is a server that cannot be reached.
      if (Date.now() - asked >= timing.pollSeconds * 990) continue;
      unreachableSince ??= asked;
      const wait = backoffSeconds(failures++, { first: timing.firstBackoff, most: timing.maxSubmitBackoff });
      if (Date.now() + wait * 1000 - unreachableSince > timing.submitSeconds * 1000) throw error;
      await sleep(wait, signal);
      continue;
    }
    unreachableSince = null;
    const pause = async (): Promise<void> => {
      const rest = timing.minPollGap * 1000 - (Date.now() - asked);
      if (rest > 0) await sleep(rest / 1000, signal);
    };
    const { status, body } = reply;
    if (isRecord(body) && 'queue_state' in body) {
      const reason = body['queue_state_reason'];
      o.onQueueState?.(queueState(body['queue_state']), typeof reason === 'string' ? reason : undefined);
    }
    if (status !== 429) failures = 0;
    if (status === 200) {
      if (reply.protobuf !== null) return reply;
      if (!isRecord(body)) throw invalidAnswer(o.what, `is ${wordsOf(body)}, not an object`);
      if (body['type'] === 'try_again') {
        await pause();
        continue;
      }
      if (body['status'] === 'complete_metadata') {
        metadataOnly = false;
        const size = body['response_payload_size'];
        payloadBytes = typeof size === 'number' && size > 0 ? size : 0;
        continue;
      }
      if (typeof body['error'] === 'string') {
        throw failureOf(o.what, body, ids());
      }
      return reply;
    }
    const error = errorOfReply(o.what, reply, ids());
    switch (status) {
      case 408:
        badRequests = 0;
        await pause();
        continue;
      case 429:
        await sleep(
          backoffSeconds(failures++, { first: timing.firstBackoff * 2, most: timing.maxSubmitBackoff }),
          signal,
        );
        continue;
      case 400:
        // A server says why; a bare 400 may come from a proxy on the way.
        if (isRecord(body) && 'detail' in body) {
          const message = `${o.what} failed: ${wordsOf(body)}`;
          throw new RequestFailedError({ message, category: 'user', ...ids(), cause: error });
        }
        if (++badRequests > MAX_BAD_REQUESTS) throw error;
        await pause();
        continue;
      case 410:
        if (o.resubmit === null || ++resubmits > MAX_RESUBMITS) throw error;
        context.count('resubmits');
        id = await o.resubmit();
        metadataOnly = true;
        continue;
      case 402:
        billingSince ??= asked;
        if (!context.waitOnBilling || Date.now() - billingSince > timing.billingSeconds * 1000) throw error;
        await sleep(timing.billingPollSeconds, signal);
        continue;
      default:
        if (status < 500 || ++serverErrors >= timing.pollServerErrors) throw error;
        await sleep(
          backoffSeconds(serverErrors - 1, { first: timing.firstBackoff, most: timing.maxBackoff }),
          signal,
        );
    }
  }
}
