import { useStore } from 'zustand';
import { t } from '../../i18n/index.ts';
import { viewOf } from '../../stores/loadable.ts';
import { modelStore, wantedModel } from '../../stores/model-store.ts';
import { settingsStore } from '../../stores/settings-store.ts';
import { Checkbox } from '../../ui/checkbox.tsx';
import { InlineChoices } from '../../ui/inline-choices.tsx';

/** Which linear layers get an adapter. */
export function TargetLayers({ disabled }: { disabled: boolean }) {
  const targets = useStore(settingsStore, (state) => state.targets);
  const model = useStore(modelStore);
  const view = viewOf(model.load, wantedModel(model)?.key ?? null);
  const names = view.status === 'ready' ? view.value.linearModules : [];
  return (
    <div className="group">
      <InlineChoices
        label={t('settings.targets')}
        hint={t('settings.targetsHint')}
        value={targets === 'all-linear' ? 'all' : 'some'}
        options={[
          { value: 'all', label: t('settings.targetsAll') },
          { value: 'some', label: t('settings.targetsSome') },
        ]}
        disabled={disabled}
        onChange={(value) => settingsStore.setState({ targets: value === 'all' ? 'all-linear' : names })}
      />
      {targets === 'all-linear' ? null : (
        <div className="inline-choices">
          {names.map((name) => (
            <Checkbox
              key={name}
              label={name}
              checked={targets.includes(name)}
              disabled={disabled}
              onChange={(checked) => {
                const rest = targets.filter((other) => other !== name);
                settingsStore.setState({ targets: checked ? [...rest, name] : rest });
              }}
            />
          ))}
        </div>
      )}
    </div>
  );
}
