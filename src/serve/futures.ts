/** Requests that were accepted: what comes of them is kept for a while, within a number of bytes. */
import { randomBytes } from 'node:crypto';
import type { ForwardBackwardOutput, SampleResponse } from '../api/types.ts';
import { failedBody, HttpFailure, type FailedBody } from './failure.ts';
import type { ServeLimits } from './options.ts';

/** What a future gives. Passes and samples have a form in protobuf too. */
export type FutureValue =
  | { type: 'json'; body: Record<string, unknown> }
  | { type: 'pass'; output: ForwardBackwardOutput }
  | { type: 'sample'; response: SampleResponse };

export type Outcome = { ok: true; value: FutureValue } | { ok: false; failed: FailedBody };

export interface Future {
  readonly id: string;
  readonly outcome: Outcome | null;
  /** Resolves with the outcome; never rejects. */
  readonly done: Promise<Outcome>;
}

interface Entry extends Future {
  outcome: Outcome | null;
  bytes: number;
  endedAt: number;
}

/** Roughly what a result takes in memory. */
export function sizeOf(outcome: Outcome): number {
  if (!outcome.ok || outcome.value.type === 'json') return 512;
  const { value } = outcome;
  if (value.type === 'pass') {
    const tensors = value.output.lossFnOutputs.flatMap((o) => Object.values(o));
    return tensors.reduce((sum, { data }) => sum + 8 * data.length, 512);
  }
  const { sequences, promptLogprobs, topkPromptLogprobs } = value.response;
  const drawn = sequences.reduce((sum, { tokens }) => sum + 16 * tokens.length, 512);
  const rows = topkPromptLogprobs?.reduce((sum, row) => sum + 16 * (row?.length ?? 0), 0) ?? 0;
  return drawn + 8 * (promptLogprobs?.length ?? 0) + rows;
}

export interface Futures {
  /** Throws 429 where too many are pending; `always` takes one more, which others wait for. */
  admit(always?: boolean): void;
  /** Begins one; `work` settles it. */
  open(work: (id: string) => Promise<FutureValue>): Future;
  /** Throws 404 for an id that never was, 410 for one whose result is gone. */
  find(id: string): Future;
  has(id: string): boolean;
  readonly pending: number;
}

type Limits = Pick<ServeLimits, 'maxPending' | 'maxResultBytes' | 'resultSeconds'>;

export function createFutures(limits: Limits, now: () => number = Date.now): Futures {
  // Ids of an earlier server are not mistaken for ours.
  const prefix = randomBytes(6).toString('hex');
  const entries = new Map<string, Entry>();
  let count = 0;
  let pending = 0;
  let kept = 0;

  const drop = (entry: Entry): void => {
    entries.delete(entry.id);
    kept -= entry.bytes;
  };
  /** Lets go what is too old, then the oldest, until the rest fits. Ended ones stand in the map in the order of ending. */
  const clean = (newest: Entry | null = null): void => {
    for (const entry of entries.values()) {
      if (entry.outcome === null || entry === newest) continue;
      const old = now() - entry.endedAt > limits.resultSeconds * 1000;
      if (!old && kept <= limits.maxResultBytes) break;
      drop(entry);
    }
  };
  const end = (entry: Entry, outcome: Outcome): Outcome => {
    pending -= 1;
    entry.outcome = outcome;
    entry.endedAt = now();
    entry.bytes = sizeOf(outcome);
    kept += entry.bytes;
    entries.delete(entry.id);
    entries.set(entry.id, entry);
    clean(entry);
    return outcome;
  };
  const numberOf = (id: string): number => {
    const [head, tail = ''] = id.split('-');
    return head === prefix && /^[1-9]\d{0,14}$/.test(tail) ? Number(tail) : NaN;
  };

  return {
    get pending() {
      return pending;
    },
    admit: (always = false) => {
      if (always || pending < limits.maxPending) return;
      throw new HttpFailure(429, `${String(pending)} requests wait for their turn; await some of them.`, {
        'Retry-After': '1',
      });
    },
    open: (work) => {
      clean();
      const id = `${prefix}-${String(++count)}`;
      pending += 1;
      let settle: (outcome: Outcome) => void = () => undefined;
      const done = new Promise<Outcome>((resolve) => {
        settle = resolve;
      });
      const entry: Entry = { id, outcome: null, done, bytes: 0, endedAt: 0 };
      entries.set(id, entry);
      work(id).then(
        (value) => {
          settle(end(entry, { ok: true, value }));
        },
        (error: unknown) => {
          settle(end(entry, { ok: false, failed: failedBody(error) }));
        },
      );
      return entry;
    },
    find: (id) => {
      clean();
      const entry = entries.get(id);
      if (entry !== undefined) return entry;
      if (numberOf(id) <= count)
        throw new HttpFailure(410, `The result of ${id} is gone; it was kept for a while.`);
      throw new HttpFailure(404, `There is no request ${JSON.stringify(id.slice(0, 100))}.`);
    },
    has: (id) => entries.has(id),
  };
}
