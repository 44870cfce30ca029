import { useId } from 'react';
import { useStore } from 'zustand';
import { t } from '../../i18n/index.ts';
import { runStatus } from '../../stores/run-status.ts';
import { runStore } from '../../stores/run-store.ts';
import { RunButtons } from './run-buttons.tsx';
import { useStartBlockers } from './use-start-blockers.ts';

/** What can be done now, and where the run is. Always in sight. */
export function RunBar() {
  const run = useStore(runStore);
  const reasonId = useId();
  const reasons = useStartBlockers();
  const blocked = reasons.length > 0;
  return (
    <section className="run-bar" aria-label={t('run.controls')}>
      <div className="run-bar-row">
        <p className="run-state" role="status" data-state={run.state}>
          {run.state === 'idle' && blocked ? t('status.notReady') : runStatus(run)}
        </p>
        <RunButtons run={run} blocked={blocked} reasonId={reasonId} />
      </div>
      <p className="small quiet" id={reasonId} hidden={!blocked}>
        {reasons.join(' ')}
      </p>
    </section>
  );
}
