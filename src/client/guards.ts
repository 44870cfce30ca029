/** What protects a run that is under way: the screen stays on, leaving the page asks first, and hiding it saves. */
import { runStore } from '../stores/run-store.ts';
import { isBusy } from '../stores/run-view.ts';
import { callWorker } from './studio-client.ts';

/** Starts guarding; returns the function that ends it. */
export function guardRuns(): () => void {
  let lock: WakeLockSentinel | null = null;
  const askBeforeLeaving = (event: BeforeUnloadEvent): void => {
    if (isBusy(runStore.getState().state)) event.preventDefault();
  };
  // A browser takes the lock away when the tab is hidden, so it is asked for again when the tab is back.
  const holdScreen = async (): Promise<void> => {
    const wanted = runStore.getState().state === 'running' && document.visibilityState === 'visible';
    if (!wanted) {
      const held = lock;
      lock = null;
      await held?.release();
    } else if ((lock === null || lock.released) && 'wakeLock' in navigator) {
      // Refused on low battery or by policy: the run goes on, only the screen may go dark.
      lock = await navigator.wakeLock.request('screen').catch(() => null);
    }
  };
  const onChange = (): void => void holdScreen();
  // The last moment that a browser is sure to give: what was trained since the last save is saved now.
  const saveWhenHidden = (): void => {
    if (document.visibilityState === 'hidden' && isBusy(runStore.getState().state))
      void callWorker((api) => api.saveHidden()).catch(() => undefined);
  };
  const end = runStore.subscribe(({ state }, before) => {
    if (state !== before.state) onChange();
  });
  window.addEventListener('beforeunload', askBeforeLeaving);
  document.addEventListener('visibilitychange', onChange);
  document.addEventListener('visibilitychange', saveWhenHidden);
  window.addEventListener('pagehide', saveWhenHidden);
  return () => {
    end();
    window.removeEventListener('beforeunload', askBeforeLeaving);
    document.removeEventListener('visibilitychange', onChange);
    document.removeEventListener('visibilitychange', saveWhenHidden);
    window.removeEventListener('pagehide', saveWhenHidden);
    void lock?.release();
  };
}
