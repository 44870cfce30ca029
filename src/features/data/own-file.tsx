import { useStore } from 'zustand';
import { formatBytes } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { dataStore, pickDataFile } from '../../stores/data-store.ts';
import { DropZone } from '../../ui/drop-zone.tsx';
import { FileField } from '../../ui/file-field.tsx';

/** A data file of the person's own, dropped or picked. */
export function OwnFile({ disabled }: { disabled: boolean }) {
  const file = useStore(dataStore, (state) => state.file);
  const pick = (files: FileList): void => {
    const first = files[0];
    if (first !== undefined) pickDataFile(first);
  };
  return (
    <DropZone disabled={disabled} onDrop={({ files }) => pick(files)}>
      <FileField
        label={t('data.file')}
        hint={t('data.dropHint')}
        kind="one"
        accept=".jsonl,.ndjson,.json,.csv,.txt,.md,text/*,application/json"
        disabled={disabled}
        onFiles={pick}
      />
      {file === null ? null : (
        <p className="small file-name">
          {t('data.picked', { name: file.name, size: formatBytes(file.size) })}
        </p>
      )}
    </DropZone>
  );
}
