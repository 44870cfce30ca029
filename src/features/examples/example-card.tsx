import { useId } from 'react';
import { useStore } from 'zustand';
import type { ExampleKind } from '../../../workers/examples-api.ts';
import { startExample, stopExample } from '../../client/examples.ts';
import { formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { examplesStore, type ExampleView } from '../../stores/examples-store.ts';
import { runStore } from '../../stores/run-store.ts';
import { isBusy } from '../../stores/run-view.ts';
import { Button } from '../../ui/button.tsx';
import { ErrorNote } from '../../ui/error-note.tsx';
import { ProgressBar } from '../../ui/progress-bar.tsx';
import { ExampleChart } from './example-chart.tsx';
import { ExampleResult } from './example-result.tsx';

const TEXTS = {
  reward: {
    title: 'examples.rewardTitle',
    text: 'examples.rewardText',
    start: 'examples.startReward',
  },
  preference: {
    title: 'examples.preferenceTitle',
    text: 'examples.preferenceText',
    start: 'examples.startPreference',
  },
} as const;

/** One example: what it does, its button, and what comes of it. */
export function ExampleCard({ kind, view }: { kind: ExampleKind; view: ExampleView }) {
  const id = useId();
  const { running, stopping } = useStore(examplesStore);
  const training = useStore(runStore, ({ state }) => isBusy(state));
  const mine = running === kind;
  const busy = training || (running !== null && !mine);
  return (
    <article className="group example" aria-labelledby={id}>
      <h3 id={id}>{t(TEXTS[kind].title)}</h3>
      <p className="quiet">{t(TEXTS[kind].text)}</p>
      <div className="example-line">
        {mine ? (
          <Button
            unavailable={stopping}
            label={stopping ? undefined : t('examples.stopLabel')}
            onPress={() => void stopExample()}
          >
            {t(stopping ? 'examples.stopping' : 'examples.stop')}
          </Button>
        ) : (
          <Button unavailable={busy} label={t(TEXTS[kind].start)} onPress={() => void startExample(kind)}>
            {t('examples.start')}
          </Button>
        )}
        {busy ? <p className="small quiet">{t('examples.busy')}</p> : null}
      </div>
      {mine ? <Stage view={view} /> : null}
      {view.error === null ? null : <ErrorNote error={view.error} />}
      {view.points.length > 0 ? <ExampleChart kind={kind} points={view.points} /> : null}
      {view.outcome === null ? null : <ExampleResult kind={kind} outcome={view.outcome} />}
    </article>
  );
}

function Stage({ view: { stage } }: { view: ExampleView }) {
  const label = t(`examples.${stage?.stage ?? 'loading'}`);
  if (stage === null || stage.total === 0) return <ProgressBar label={label} value={null} />;
  const { done, total } = stage;
  const detail = t('examples.step', { done: formatCount(done), total: formatCount(total) });
  return <ProgressBar label={label} detail={detail} value={done / total} />;
}
