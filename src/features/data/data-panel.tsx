import { useStore } from 'zustand';
import { wantedDataNow } from '../../client/load.ts';
import { formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { dataStore, OWN_FILE } from '../../stores/data-store.ts';
import { viewOf } from '../../stores/loadable.ts';
import { modelStore } from '../../stores/model-store.ts';
import { runStore } from '../../stores/run-store.ts';
import { isBusy } from '../../stores/run-view.ts';
import { settingsStore } from '../../stores/settings-store.ts';
import { Choice, Choices } from '../../ui/choice.tsx';
import { ErrorNote } from '../../ui/error-note.tsx';
import { Panel } from '../../ui/panel.tsx';
import { ProgressBar } from '../../ui/progress-bar.tsx';
import { DataFacts } from './data-facts.tsx';
import { DataNotes } from './data-notes.tsx';
import { DataOptions } from './data-options.tsx';
import { DataPreview } from './data-preview.tsx';
import { OwnFile } from './own-file.tsx';
import { RejectedRows } from './rejected-rows.tsx';

/** What the model learns from. */
export function DataPanel() {
  const data = useStore(dataStore);
  const busy = useStore(runStore, ({ state }) => isBusy(state));
  // The key of what is wanted is made of all three.
  useStore(modelStore);
  useStore(settingsStore);
  const view = viewOf(data.load, wantedDataNow()?.key ?? null);
  const radio = (selected: string) => ({
    group: 'data',
    checked: data.selected === selected,
    disabled: busy,
    onChoose: () => dataStore.setState({ selected }),
  });
  return (
    <Panel title={t('data.title')}>
      <Choices label={t('data.title')}>
        {data.demos.map(({ id, title, description, rows }) => (
          <Choice
            key={id}
            {...radio(id)}
            title={title}
            hint={t('data.demoHint', { description, rows: formatCount(rows) })}
          />
        ))}
        <Choice {...radio(OWN_FILE)} title={t('data.own')} hint={t('data.ownHint')}>
          <OwnFile disabled={busy} />
        </Choice>
      </Choices>
      {data.demosError === null ? null : <ErrorNote error={data.demosError} />}
      <DataOptions disabled={busy} />
      {view.status === 'loading' ? <ProgressBar label={t('data.reading')} value={null} /> : null}
      {view.status === 'failed' ? <ErrorNote error={view.error} /> : null}
      {view.status === 'ready' ? (
        <>
          <RejectedRows rows={view.value.rejected} />
          <DataNotes data={view.value} />
          <DataPreview rows={view.value.preview} />
          <DataFacts data={view.value} />
        </>
      ) : null}
    </Panel>
  );
}
