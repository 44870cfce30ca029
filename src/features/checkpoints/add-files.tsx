import { useStore } from 'zustand';
import { lookAt } from '../../client/dropped-checkpoint.ts';
import { inputFiles } from '../../client/dropped-files.ts';
import { t } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import { Disclosure } from '../../ui/disclosure.tsx';
import { FileField } from '../../ui/file-field.tsx';

/** The same as a drop, by button and keyboard. */
export function AddFiles() {
  const busy = useStore(keptStore, (state) => state.busy !== null);
  return (
    <Disclosure title={t('drop.look')}>
      <div className="fields">
        <FileField
          label={t('drop.pickFile')}
          kind="many"
          disabled={busy}
          onFiles={(files) => void lookAt(inputFiles(files))}
        />
        <FileField
          label={t('drop.pickFolder')}
          kind="folder"
          disabled={busy}
          onFiles={(files) => void lookAt(inputFiles(files))}
        />
      </div>
    </Disclosure>
  );
}
