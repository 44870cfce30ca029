import { useStore } from 'zustand';
import { t } from '../../i18n/index.ts';
import { settingsStore } from '../../stores/settings-store.ts';
import { Checkbox } from '../../ui/checkbox.tsx';
import { SelectField } from '../../ui/select-field.tsx';
import { NumberSetting } from './number-setting.tsx';
import { TargetLayers } from './target-layers.tsx';

/** The settings that few runs need. */
export function AdvancedSettings({ disabled }: { disabled: boolean }) {
  const { schedule, shuffle, rslora, adapterDtype } = useStore(settingsStore);
  return (
    <>
      <div className="fields">
        <SelectField
          label={t('settings.schedule')}
          hint={t('settings.scheduleHint')}
          value={schedule}
          options={[
            { value: 'constant', label: t('settings.constant') },
            { value: 'linear', label: t('settings.linear') },
            { value: 'cosine', label: t('settings.cosine') },
          ]}
          disabled={disabled}
          onChange={(value) => settingsStore.setState({ schedule: value })}
        />
        <NumberSetting name="warmupSteps" disabled={disabled} />
        <NumberSetting name="gradAccumulation" disabled={disabled} />
        <NumberSetting name="dropout" disabled={disabled} />
        <NumberSetting name="weightDecay" disabled={disabled} />
        <NumberSetting name="gradClip" disabled={disabled} />
        <NumberSetting name="evalPercent" disabled={disabled} />
        <NumberSetting name="seed" disabled={disabled} />
        <SelectField
          label={t('settings.dtype')}
          hint={t('settings.dtypeHint')}
          value={adapterDtype}
          options={[
            { value: 'F32', label: t('settings.f32') },
            { value: 'BF16', label: t('settings.bf16') },
          ]}
          disabled={disabled}
          onChange={(value) => settingsStore.setState({ adapterDtype: value })}
        />
      </div>
      <Checkbox
        label={t('settings.rslora')}
        hint={t('settings.rsloraHint')}
        checked={rslora}
        disabled={disabled}
        onChange={(checked) => settingsStore.setState({ rslora: checked })}
      />
      <Checkbox
        label={t('settings.shuffle')}
        hint={t('settings.shuffleHint')}
        checked={shuffle}
        disabled={disabled}
        onChange={(checked) => settingsStore.setState({ shuffle: checked })}
      />
      <TargetLayers disabled={disabled} />
    </>
  );
}
