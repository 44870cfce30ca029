/** Trying again where that can help: a lost connection, a busy file. Never for a full disk or a missing permission. */

const DELAYS_MS = [50, 200, 800];

/** Runs `work` up to four times, with growing pauses, as long as `mayHelp` says that its error may pass. */
export async function retrying<T>(
  work: () => Promise<T>,
  mayHelp: (error: unknown) => boolean,
  delaysMs: readonly number[] = DELAYS_MS,
): Promise<T> {
  for (const delay of delaysMs) {
    try {
      return await work();
    } catch (error) {
      if (!mayHelp(error)) throw error;
      // Not all at the same moment: two tabs that lost the same connection would collide again.
      const pause = delay * (0.75 + Math.random() / 2);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  return work();
}
