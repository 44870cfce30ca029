import { useStore } from 'zustand';
import { t } from '../../i18n/index.ts';
import { runStore } from '../../stores/run-store.ts';
import { isBusy } from '../../stores/run-view.ts';
import { settingsStore } from '../../stores/settings-store.ts';
import { Disclosure } from '../../ui/disclosure.tsx';
import { InlineChoices } from '../../ui/inline-choices.tsx';
import { Panel } from '../../ui/panel.tsx';
import { AdvancedSettings } from './advanced-settings.tsx';
import { KeepingSettings } from './keeping-settings.tsx';
import { NumberSetting } from './number-setting.tsx';

/** How the model learns: the settings that matter, the rest under Advanced. */
export function SettingsPanel() {
  const lengthBy = useStore(settingsStore, (state) => state.lengthBy);
  const busy = useStore(runStore, ({ state }) => isBusy(state));
  return (
    <Panel title={t('settings.title')} hint={t('settings.hint')}>
      <div className="fields">
        <NumberSetting name="rank" disabled={busy} />
        <NumberSetting name="alpha" disabled={busy} />
        <NumberSetting name="learningRate" disabled={busy} />
        <NumberSetting name="batchSize" disabled={busy} />
        <InlineChoices
          label={t('settings.lengthBy')}
          hint={t('settings.lengthByHint')}
          value={lengthBy}
          options={[
            { value: 'epochs', label: t('settings.byEpochs') },
            { value: 'steps', label: t('settings.bySteps') },
          ]}
          disabled={busy}
          onChange={(value) => settingsStore.setState({ lengthBy: value })}
        />
        <NumberSetting name={lengthBy} disabled={busy} />
        <NumberSetting name="maxLength" disabled={busy} />
        <NumberSetting name="evalEvery" disabled={busy} />
      </div>
      <Disclosure title={t('keeping.title')}>
        <KeepingSettings disabled={busy} />
      </Disclosure>
      <Disclosure title={t('settings.advanced')}>
        <AdvancedSettings disabled={busy} />
      </Disclosure>
    </Panel>
  );
}
