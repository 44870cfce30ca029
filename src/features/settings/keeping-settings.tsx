import { useStore } from 'zustand';
import { t } from '../../i18n/index.ts';
import { settingsStore } from '../../stores/settings-store.ts';
import { Checkbox } from '../../ui/checkbox.tsx';
import { NumberSetting } from './number-setting.tsx';

/** When the run saves itself, and what is kept of it. */
export function KeepingSettings({ disabled }: { disabled: boolean }) {
  const { save, saveBest, delta } = useStore(settingsStore);
  const off = disabled || !save;
  return (
    <>
      <Checkbox
        label={t('keeping.save')}
        hint={t('keeping.saveHint')}
        checked={save}
        disabled={disabled}
        onChange={(checked) => settingsStore.setState({ save: checked })}
      />
      <div className="fields">
        <NumberSetting name="saveEvery" disabled={off} />
        <NumberSetting name="saveMinutes" disabled={off} />
        <NumberSetting name="keepLatest" disabled={off} />
        <NumberSetting name="keepEvery" disabled={off} />
      </div>
      <Checkbox
        label={t('keeping.best')}
        hint={t('keeping.bestHint')}
        checked={saveBest}
        disabled={off}
        onChange={(checked) => settingsStore.setState({ saveBest: checked })}
      />
      <Checkbox
        label={t('keeping.delta')}
        hint={t('keeping.deltaHint')}
        checked={delta}
        disabled={off}
        onChange={(checked) => settingsStore.setState({ delta: checked })}
      />
    </>
  );
}
