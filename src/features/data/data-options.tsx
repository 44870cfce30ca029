import { useStore } from 'zustand';
import { t } from '../../i18n/index.ts';
import { dataStore } from '../../stores/data-store.ts';
import { Checkbox } from '../../ui/checkbox.tsx';
import { InlineChoices } from '../../ui/inline-choices.tsx';

/** How the rows are read. */
export function DataOptions({ disabled }: { disabled: boolean }) {
  const { trainOn, chat } = useStore(dataStore);
  return (
    <>
      <InlineChoices
        label={t('data.trainOn')}
        value={trainOn}
        disabled={disabled}
        options={[
          { value: 'completion', label: t('data.trainOnAnswers') },
          { value: 'all', label: t('data.trainOnAll') },
        ]}
        onChange={(value) => dataStore.setState({ trainOn: value })}
      />
      <Checkbox
        label={t('data.chat')}
        hint={t('data.chatHint')}
        checked={chat}
        disabled={disabled}
        onChange={(checked) => dataStore.setState({ chat: checked })}
      />
    </>
  );
}
