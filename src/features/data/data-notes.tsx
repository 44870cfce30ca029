import type { DataSummary } from '../../../workers/api.ts';
import { t } from '../../i18n/index.ts';

/** What the person should know of how the data was read. */
export function DataNotes({ data }: { data: DataSummary }) {
  const { ignoredFields, notes } = data;
  const all =
    ignoredFields.length === 0 ? notes : [...notes, t('notes.ignored', { names: ignoredFields.join(', ') })];
  if (all.length === 0) return null;
  return (
    <div className="notice">
      <p className="error-title">{t('notes.title')}</p>
      {all.map((note) => (
        <p key={note}>{note}</p>
      ))}
    </div>
  );
}
