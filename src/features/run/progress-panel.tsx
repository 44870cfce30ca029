import { useStore } from 'zustand';
import { t } from '../../i18n/index.ts';
import { runStore } from '../../stores/run-store.ts';
import { stepsDone } from '../../stores/run-view.ts';
import { ErrorNote } from '../../ui/error-note.tsx';
import { Panel } from '../../ui/panel.tsx';
import { ProgressBar } from '../../ui/progress-bar.tsx';
import { ExportNote } from './export-note.tsx';
import { KeptNote } from './kept-note.tsx';
import { LossChart } from './loss-chart.tsx';
import { RunFigures } from './run-figures.tsx';
import { RUN_PANEL_ID } from './run-panel-id.ts';
import { TrainedShare } from './trained-share.tsx';

/** The run as it goes: figures, the loss curve, and what went wrong if it did. */
export function ProgressPanel() {
  const run = useStore(runStore);
  const done = run.steps === 0 ? 0 : stepsDone(run) / run.steps;
  return (
    <Panel id={RUN_PANEL_ID} title={t('run.title')}>
      {run.error === null ? null : <ErrorNote error={run.error} />}
      <ExportNote />
      {run.progress === null ? null : (
        <ProgressBar
          label={run.progress.label}
          value={run.progress.total === 0 ? null : run.progress.done / run.progress.total}
        />
      )}
      {run.state === 'idle' ? null : <ProgressBar label={t('run.progress')} bare value={done} />}
      <RunFigures run={run} />
      <TrainedShare memory={run.memory} />
      <KeptNote run={run} />
      <LossChart run={run} />
    </Panel>
  );
}
