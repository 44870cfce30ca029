/** Locks across the tabs and workers of an origin; the browser frees them when their owner is gone. */
import type { LockAnswer, LockRequest, StoreLocks } from './backend.ts';

/** Web Locks under names that start with the store's own. */
export function webLocks(prefix: string): StoreLocks {
  const acquire = (name: string, { mode, wait, signal }: LockRequest): Promise<LockAnswer> =>
    new Promise((resolve, reject) => {
      // A request that does not wait cannot be cancelled either; browsers refuse the two together.
      const options: LockOptions = wait
        ? { mode, ...(signal === undefined ? {} : { signal }) }
        : { mode, ifAvailable: true };
      const request = navigator.locks.request(`${prefix}:${name}`, options, async (lock) => {
        if (lock === null) {
          resolve({ lock: null, holder: 'another tab or window' });
          return;
        }
        // Held as long as this callback runs.
        await new Promise<void>((letGo) => {
          let isHeld = true;
          const release = async (): Promise<void> => {
            isHeld = false;
            letGo();
            await request;
          };
          resolve({ lock: { held: () => isHeld, release } });
        });
      });
      request.catch(reject);
    });
  return { acquire };
}
