import { useStore } from 'zustand';
import { ensureModel } from '../../client/load.ts';
import { t } from '../../i18n/index.ts';
import { viewOf } from '../../stores/loadable.ts';
import { type ModelSource, modelStore, wantedModel } from '../../stores/model-store.ts';
import { runStore } from '../../stores/run-store.ts';
import { isBusy } from '../../stores/run-view.ts';
import { Button } from '../../ui/button.tsx';
import { Choice, Choices } from '../../ui/choice.tsx';
import { ErrorNote } from '../../ui/error-note.tsx';
import { Panel } from '../../ui/panel.tsx';
import { HubChoice } from './hub-choice.tsx';
import { LoadProgress } from './load-progress.tsx';
import { ModelFiles } from './model-files.tsx';
import { ModelFacts } from './model-facts.tsx';

/** Which model is trained. */
export function ModelPanel() {
  const model = useStore(modelStore);
  const busy = useStore(runStore, ({ state }) => isBusy(state));
  const view = viewOf(model.load, wantedModel(model)?.key ?? null);
  const radio = (source: ModelSource) => ({
    group: 'model',
    checked: model.source === source,
    disabled: busy,
    onChoose: () => modelStore.setState({ source }),
  });
  return (
    <Panel title={t('model.title')}>
      <Choices label={t('model.title')}>
        <Choice {...radio('embedded')} title={t('model.embedded')} hint={t('model.embeddedHint')} />
        <Choice {...radio('files')} title={t('model.files')} hint={t('model.filesHint')}>
          {model.source === 'files' ? <ModelFiles disabled={busy} /> : undefined}
        </Choice>
        <Choice {...radio('hub')} title={t('model.hub')} hint={t('model.hubHint')}>
          {model.source === 'hub' ? (
            <HubChoice disabled={busy} loaded={view.status === 'ready'} />
          ) : undefined}
        </Choice>
      </Choices>
      {view.status === 'loading' ? <LoadProgress progress={view.progress} /> : null}
      {view.status === 'ready' ? <ModelFacts model={view.value} /> : null}
      {view.status === 'failed' ? (
        <ErrorNote error={view.error}>
          <Button look="link" onPress={() => void ensureModel()}>
            {t('common.tryAgain')}
          </Button>
        </ErrorNote>
      ) : null}
    </Panel>
  );
}
