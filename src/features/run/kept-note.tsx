import { useState } from 'react';
import { useStore } from 'zustand';
import { saveNow } from '../../client/checkpoints.ts';
import { formatBytes, formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import type { RunView } from '../../stores/run-view.ts';
import { Button } from '../../ui/button.tsx';
import { ErrorNote } from '../../ui/error-note.tsx';
import { TextField } from '../../ui/text-field.tsx';

/** Where the run is kept, its last save and what it cost, a failed save, and saving by hand. */
export function KeptNote({ run }: { run: RunView }) {
  const [name, setName] = useState('');
  const busy = useStore(keptStore, (state) => state.busy !== null);
  const { kept, saved, saveError } = run;
  const training = run.state === 'running' || run.state === 'paused';
  const from = kept?.from ?? null;
  return (
    <>
      {saveError === null ? null : <ErrorNote error={saveError} />}
      {kept === null ? null : (
        <p className="small quiet">
          {from === null
            ? t('kept.runIs', { run: kept.name })
            : t('kept.runFrom', {
                run: kept.name,
                name: from.name,
                step: formatCount(from.step),
                note: from.note,
              })}{' '}
          {saved === null
            ? ''
            : t('kept.lastSaved', {
                name: saved.checkpoint.name,
                size: formatBytes(saved.checkpoint.size),
                stall: formatCount(saved.stallMs),
              })}
        </p>
      )}
      {kept !== null && training ? (
        <TextField
          label={t('kept.saveName')}
          placeholder={`step-${formatCount(run.metrics.at(-1)?.step ?? 0)}`}
          value={name}
          onChange={setName}
          onEnter={() => void saveNow(name)}
        >
          <Button unavailable={busy} onPress={() => void saveNow(name)}>
            {t('kept.saveByHand')}
          </Button>
        </TextField>
      ) : null}
    </>
  );
}
