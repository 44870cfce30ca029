import { useStore } from 'zustand';
import { t } from '../../i18n/index.ts';
import { modelStore } from '../../stores/model-store.ts';
import { type NumberName, readNumbers, suggestedNumbers } from '../../stores/settings.ts';
import { settingsStore, typeNumber } from '../../stores/settings-store.ts';
import { TextField } from '../../ui/text-field.tsx';

interface NumberSettingProps {
  name: NumberName;
  disabled: boolean;
}

/** One number of the run, with its hint. */
export function NumberSetting({ name, disabled }: NumberSettingProps) {
  const typed = useStore(settingsStore, (state) => state.typed);
  const source = useStore(modelStore, (state) => state.source);
  const suggested = suggestedNumbers(source);
  return (
    <TextField
      label={t(`setting.${name}`)}
      hint={t(`setting.${name}Hint`)}
      problem={readNumbers(typed, suggested).problems[name]}
      value={typed[name] ?? String(suggested[name])}
      numeric
      disabled={disabled}
      onChange={(text) => typeNumber(name, text)}
    />
  );
}
