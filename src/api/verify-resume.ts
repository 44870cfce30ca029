/**
 * The proof that a saved state continues as if nothing had happened, on any backend: one client trains 2k steps straight,
 * another k steps, saves, is loaded into a third, which trains k more. What can be seen of both must be equal in all
 * bits: the log-probabilities of every step, the gradient norms, and a last forward pass.
 */
import { BadRequestError } from './errors.ts';
import type { WaitOptions } from './future.ts';
import { UnsupportedFeatureError } from './own-errors.ts';
import { parseCheckpointPath } from './paths.ts';
import type { TrainingClient } from './training-client.ts';
import type { AdamParams, Datum, LossFnType } from './types.ts';

export interface VerifyResumeOptions extends WaitOptions {
  data: readonly Datum[];
  /** k: steps before and after the save; 2 unless said otherwise. */
  steps?: number;
  lossFn?: LossFnType;
  lossFnConfig?: Readonly<Record<string, number>>;
  adamParams?: AdamParams;
}

export interface ResumeReport {
  equal: boolean;
  /** Numbers that were compared. */
  values: number;
  /** Where the two first differ, such as `step 3: logprobs`; empty when all bits are equal. */
  differences: { what: string; largest: number }[];
}

/** What is seen of a run: name and numbers, in order. */
type Trace = { what: string; values: number[] }[];

async function train(
  client: TrainingClient,
  from: number,
  count: number,
  o: VerifyResumeOptions,
): Promise<Trace> {
  const { data, lossFn = 'cross_entropy', lossFnConfig = null, adamParams } = o;
  const trace: Trace = [];
  for (let i = 0; i < count; i++) {
    const forward = client.forwardBackward(data, lossFn, lossFnConfig);
    const stepped = client.optimStep(adamParams);
    const { lossFnOutputs } = await forward;
    const { metrics = {} } = await stepped;
    const name = `step ${String(from + i + 1)}`;
    trace.push({
      what: `${name}: logprobs`,
      values: lossFnOutputs.flatMap((o) => Array.from(o['logprobs']?.data ?? [], Number)),
    });
    trace.push({ what: `${name}: step metrics`, values: Object.values(metrics) });
  }
  return trace;
}

const sameBits = (a: number, b: number): boolean => Object.is(a, b);

export function compareTraces(left: Trace, right: Trace): ResumeReport {
  const differences: ResumeReport['differences'] = [];
  let values = 0;
  left.forEach(({ what, values: a }, i) => {
    const b = right[i]?.values ?? [];
    values += a.length;
    const unequal = a.length !== b.length || a.some((value, j) => !sameBits(value, b[j] ?? NaN));
    if (!unequal) return;
    const largest = a.reduce((most, value, j) => Math.max(most, Math.abs(value - (b[j] ?? Infinity))), 0);
    differences.push({ what, largest });
  });
  return { equal: differences.length === 0, values, differences };
}

/** Runs the proof from the client's present state. Its checkpoints are deleted again where the backend can. */
export async function verifyResume(
  client: TrainingClient,
  options: VerifyResumeOptions,
): Promise<ResumeReport> {
  const { steps = 2 } = options;
  if (!Number.isInteger(steps) || steps < 1 || steps > 1000) {
    throw new BadRequestError({
      message: `steps is ${String(steps)}; it must be a whole number from 1 to 1000.`,
    });
  }
  const { host } = client;
  const made: TrainingClient[] = [];
  const saved: string[] = [];
  const name = `verify-resume-${Date.now().toString(36)}`;
  const open = async (path: string): Promise<TrainingClient> => {
    const opened = await host.openFromState(path, { optimizer: true });
    made.push(opened);
    return opened;
  };
  try {
    const start = await client.saveState(name);
    saved.push(start.path);
    const whole = await open(start.path);
    const straight = await train(whole, 0, 2 * steps, options);
    await whole.dispose();
    const first = await open(start.path);
    const before = await train(first, 0, steps, options);
    const middle = await first.saveState(`${name}-middle`);
    saved.push(middle.path);
    await first.dispose();
    const second = await open(middle.path);
    const after = await train(second, steps, steps, options);
    return compareTraces(straight, [...before, ...after]);
  } finally {
    for (const each of made) await each.dispose();
    for (const path of saved) {
      await host.backend.registry.deleteCheckpoint(parseCheckpointPath(path)).catch((error: unknown) => {
        // The one server without deletion keeps them; that is in its capabilities.
        if (!(error instanceof UnsupportedFeatureError)) throw error;
      });
    }
  }
}
