import { useStore } from 'zustand';
import { formatBytes } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { exportStore } from '../../stores/export-store.ts';
import { ErrorNote } from '../../ui/error-note.tsx';

/** What was saved and how to use it, or why it could not be saved. */
export function ExportNote() {
  const { saved, error } = useStore(exportStore);
  if (error !== null) return <ErrorNote error={error} />;
  if (saved === null) return null;
  return (
    <div className="notice" data-tone="good" aria-live="polite">
      <p className="error-title">{t('export.saved', { name: saved.name, size: formatBytes(saved.bytes) })}</p>
      <p>{t('export.use')}</p>
      <p>
        <code>{'PeftModel.from_pretrained(base_model, "path/to/folder")'}</code>
      </p>
    </div>
  );
}
