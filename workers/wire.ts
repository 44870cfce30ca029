/** How errors and progress travel to the page. */
import { toErrorFields } from '../src/errors.ts';

/** Makes a call reject with its error's fields as JSON in the message: of an error, comlink carries no more than that. */
export function overWire<Args extends unknown[], Answer>(
  call: (...args: Args) => Promise<Answer>,
): (...args: Args) => Promise<Answer> {
  return async (...args) => {
    try {
      return await call(...args);
    } catch (error) {
      throw new Error(JSON.stringify(toErrorFields(error)), { cause: error });
    }
  };
}

/** Lets through at most ten calls a second, and the first. */
export function tenPerSecond<Value>(tell: (value: Value) => void): (value: Value) => void {
  let last = -Infinity;
  return (value) => {
    const now = performance.now();
    if (now - last < 100) return;
    last = now;
    tell(value);
  };
}
