/** What is saved so that a caller's loop goes on: its own state, and what helpers such as an RL trainer add. */
import { BadRequestError } from './errors.ts';
import type { LoopState } from './types.ts';

/** Read at the moment of the save. */
export type LoopStatePart = () => unknown;

/** The loop state with the helpers' parts under `extra`; null where there is neither. */
export function mergeLoopState(
  base: LoopState | null,
  parts: ReadonlyMap<string, LoopStatePart>,
  step: number,
): LoopState | null {
  if (base !== null && !(Number.isInteger(base.step) && base.step >= 0)) {
    throw new BadRequestError({
      message: `loopState.step is ${String(base.step)}; it counts completed steps, from 0.`,
    });
  }
  if (parts.size === 0) return base;
  const extra: Record<string, unknown> = { ...base?.extra };
  for (const [name, read] of parts) extra[name] = read();
  return { ...(base ?? { step }), extra };
}
