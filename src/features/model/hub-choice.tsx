import { useStore } from 'zustand';
import { ensureModel } from '../../client/load.ts';
import { t } from '../../i18n/index.ts';
import { modelStore, wantedModel } from '../../stores/model-store.ts';
import { Button } from '../../ui/button.tsx';
import { TextField } from '../../ui/text-field.tsx';

interface HubChoiceProps {
  disabled: boolean;
  loaded: boolean;
}

/** A model of the Hugging Face Hub by its id. */
export function HubChoice({ disabled, loaded }: HubChoiceProps) {
  const model = useStore(modelStore);
  const { hubId } = model;
  const complete = wantedModel(model) !== null;
  const unfinished = hubId.trim() !== '' && !complete ? t('model.hubIdForm') : undefined;
  const load = (): void => {
    if (complete && !disabled) void ensureModel();
  };
  return (
    <TextField
      label={t('model.hubId')}
      hint={t('model.hubIdHint')}
      problem={unfinished}
      value={hubId}
      placeholder="HuggingFaceTB/SmolLM2-135M-Instruct"
      disabled={disabled}
      onChange={(text) => modelStore.setState({ hubId: text })}
      onEnter={load}
    >
      <Button unavailable={disabled || !complete || loaded} onPress={load}>
        {t('model.load')}
      </Button>
    </TextField>
  );
}
