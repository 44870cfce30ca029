import { useStore } from 'zustand';
import { wantedDataNow } from '../../client/load.ts';
import { formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { dataStore } from '../../stores/data-store.ts';
import { viewOf } from '../../stores/loadable.ts';
import { runStore } from '../../stores/run-store.ts';
import { comparedSamples, isBusy } from '../../stores/run-view.ts';
import { settingsStore } from '../../stores/settings-store.ts';
import { AnswerCard } from '../../ui/answer-card.tsx';
import { Panel } from '../../ui/panel.tsx';
import { TextField } from '../../ui/text-field.tsx';

/** The same question before, during and after training. */
export function SamplesPanel() {
  const run = useStore(runStore);
  const typed = useStore(settingsStore, (state) => state.samplePrompt);
  const load = useStore(dataStore, (state) => state.load);
  const data = viewOf(load, wantedDataNow()?.key ?? null);
  const suggested = data.status === 'ready' ? data.value.samplePrompt : '';
  const { before, during, after } = comparedSamples(run);
  const prompt = run.samples.at(-1)?.prompt;
  return (
    <Panel title={t('samples.title')} hint={t('samples.hint')}>
      <TextField
        label={t('samples.prompt')}
        value={typed ?? suggested}
        disabled={isBusy(run.state)}
        onChange={(text) => settingsStore.setState({ samplePrompt: text === '' ? null : text })}
      />
      {prompt === undefined || prompt === (typed ?? suggested) ? null : (
        <p className="small quiet">{t('samples.asked', { prompt })}</p>
      )}
      <div className="compare" data-columns="3">
        <AnswerCard
          title={t('samples.before')}
          detail={t('samples.base')}
          tone="before"
          text={before?.text ?? null}
          empty={t('samples.noneYet')}
        />
        <AnswerCard
          title={t('samples.during')}
          detail={during === null ? '' : t('samples.atStep', { step: formatCount(during.step) })}
          tone="before"
          text={during?.text ?? null}
          empty={t('samples.noneYet')}
        />
        <AnswerCard
          title={t('samples.after')}
          detail={after === null ? '' : t('samples.atStep', { step: formatCount(after.step) })}
          tone="after"
          text={after?.text ?? null}
          empty={t('samples.noneYet')}
        />
      </div>
    </Panel>
  );
}
