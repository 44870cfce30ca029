import { useStore } from 'zustand';
import { t } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import { Button } from '../../ui/button.tsx';
import { ErrorNote } from '../../ui/error-note.tsx';
import { ProgressBar } from '../../ui/progress-bar.tsx';

/** What is going on with the kept checkpoints, what came of it, and what was found when they were opened. */
export function KeptNotes() {
  const { busy, error, done, view } = useStore(keptStore);
  const progress = busy?.progress ?? null;
  return (
    <>
      {error === null ? null : <ErrorNote error={error} />}
      {(view?.notices ?? []).map((notice) => (
        <p className="notice" key={notice}>
          {notice}
        </p>
      ))}
      {busy === null ? null : (
        <div className="kept-busy">
          <ProgressBar
            label={busy.what}
            value={progress === null || progress.total === 0 ? null : progress.done / progress.total}
          />
          {busy.cancel === null ? null : <Button onPress={busy.cancel}>{t('kept.cancel')}</Button>}
        </div>
      )}
      <p aria-live="polite" className="kept-done">
        {done}
      </p>
    </>
  );
}
