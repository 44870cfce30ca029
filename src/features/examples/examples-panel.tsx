import { useStore } from 'zustand';
import { t } from '../../i18n/index.ts';
import { examplesStore } from '../../stores/examples-store.ts';
import { Panel } from '../../ui/panel.tsx';
import { ExampleCard } from './example-card.tsx';

/** The example programs: training from a reward and from preferences, on the clients that programs use. */
export function ExamplesPanel() {
  const { views } = useStore(examplesStore);
  return (
    <Panel title={t('examples.title')} hint={t('examples.hint')}>
      <div className="examples">
        <ExampleCard kind="reward" view={views.reward} />
        <ExampleCard kind="preference" view={views.preference} />
      </div>
    </Panel>
  );
}
