import { useStore } from 'zustand';
import { droppedFiles, inputFiles } from '../../client/dropped-files.ts';
import { formatBytes, formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { modelStore, pickModelFiles } from '../../stores/model-store.ts';
import { DropZone } from '../../ui/drop-zone.tsx';
import { FileField } from '../../ui/file-field.tsx';

/** A model folder of the person's own: dropped, or picked as a folder or as files. */
export function ModelFiles({ disabled }: { disabled: boolean }) {
  const files = useStore(modelStore, (state) => state.files);
  const bytes = files.reduce((sum, { file }) => sum + file.size, 0);
  const pick = (list: FileList): void => pickModelFiles(inputFiles(list));
  return (
    <DropZone disabled={disabled} onDrop={(transfer) => void droppedFiles(transfer).then(pickModelFiles)}>
      <p className="small quiet">{t('model.dropHint')}</p>
      <div className="fields">
        <FileField label={t('model.pickFolder')} kind="folder" disabled={disabled} onFiles={pick} />
        <FileField label={t('model.pickFiles')} kind="many" disabled={disabled} onFiles={pick} />
      </div>
      {files.length === 0 ? null : (
        <p className="small">
          {t('model.picked', { count: formatCount(files.length), size: formatBytes(bytes) })}
        </p>
      )}
    </DropZone>
  );
}
