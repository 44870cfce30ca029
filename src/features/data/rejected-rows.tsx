import type { DataSummary } from '../../../workers/api.ts';
import { formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';

/** More would only slow the page; the number of the rest is shown. */
const MOST = 200;

/** The rows that cannot be used, each with its line and reason. */
export function RejectedRows({ rows }: { rows: DataSummary['rejected'] }) {
  if (rows.length === 0) return null;
  return (
    <div className="notice">
      <p className="error-title">{t('rejected.title', { count: formatCount(rows.length) })}</p>
      <ul className="rejected">
        {rows.slice(0, MOST).map(({ line, reason }, index) => (
          <li key={index}>
            <b>{t('rejected.line', { line: formatCount(line) })}</b> {reason}
          </li>
        ))}
      </ul>
      {rows.length > MOST ? <p>{t('rejected.rest', { count: formatCount(rows.length - MOST) })}</p> : null}
    </div>
  );
}
