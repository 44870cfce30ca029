import { useEffect } from 'react';
import { useStore } from 'zustand';
import { refreshKept } from '../../client/checkpoints.ts';
import { t } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import { Panel } from '../../ui/panel.tsx';
import { BinList } from './bin-list.tsx';
import { CheckpointList } from './checkpoint-list.tsx';
import { CompareView } from './compare-view.tsx';
import { KeptNotes } from './kept-notes.tsx';
import { ListFilters } from './list-filters.tsx';
import { PeekPanel } from './peek-panel.tsx';
import { PruneForm } from './prune-form.tsx';
import { ProofButton } from './proof-button.tsx';
import { AddFiles } from './add-files.tsx';
import { ServerList } from './server-list.tsx';
import { StorageLine } from './storage-line.tsx';

/** The kept checkpoints: found, looked at, gone on with, taken out, cleaned up. */
export function CheckpointsPanel() {
  const view = useStore(keptStore, (state) => state.view);
  useEffect(() => void refreshKept(), []);
  const any = view !== null && view.runs.length + view.bin.length > 0;
  return (
    <Panel id="checkpoints" title={t('kept.title')} hint={t('kept.hint')}>
      <KeptNotes />
      <PeekPanel />
      {view === null ? <p className="quiet">{t('kept.loading')}</p> : null}
      {view !== null && !any ? <p className="quiet">{t('kept.empty')}</p> : null}
      {any ? (
        <>
          <ListFilters view={view} />
          <CheckpointList view={view} />
          <CompareView />
          <StorageLine view={view} />
          <PruneForm view={view} />
          <BinList view={view} />
        </>
      ) : null}
      <AddFiles />
      <ServerList />
      <ProofButton />
    </Panel>
  );
}
