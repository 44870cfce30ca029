import { useStore } from 'zustand';
import { resumeCheckpoint } from '../../client/resume.ts';
import { formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import { runStore } from '../../stores/run-store.ts';
import { isBusy } from '../../stores/run-view.ts';
import { Button } from '../../ui/button.tsx';

/** A run that stopped before its end is offered first thing; what it needs for going on is said. */
export function InterruptedRun() {
  const { view, resume } = useStore(keptStore);
  const run = useStore(runStore);
  if (isBusy(run.state) || run.state === 'done' || run.state === 'stopped') return null;
  const found = view?.runs.find(({ interrupted }) => interrupted);
  if (found === undefined || found.newest === null || found.steps === null) return null;
  const { newest } = found;
  const asked = resume?.plan.checkpoint.runId === found.id ? resume : null;
  const need =
    asked?.missing === 'model'
      ? t('kept.needsModel', { name: asked.plan.model.kind === 'files' ? asked.plan.model.label : '' })
      : asked?.missing === 'data'
        ? t('kept.needsData', { name: asked.plan.data.kind === 'file' ? asked.plan.data.name : '' })
        : null;
  return (
    <section className="panel kept-offer" aria-label={t('kept.resumeRun')}>
      <div>
        <p>
          <strong>
            {t('kept.interrupted', {
              run: found.name,
              step: formatCount(newest.step),
              steps: formatCount(found.steps),
            })}
          </strong>
        </p>
        <p className="small quiet">{t('kept.interruptedHint', { data: found.data, model: found.model })}</p>
        {need === null ? null : <p className="notice">{need}</p>}
      </div>
      <Button look="primary" onPress={() => void resumeCheckpoint(newest)}>
        {t('kept.resumeRun')}
      </Button>
    </section>
  );
}
