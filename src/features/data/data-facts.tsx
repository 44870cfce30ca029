import type { DataSummary } from '../../../workers/api.ts';
import { formatCount, formatShare } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { Stats } from '../../ui/stats.tsx';

/** Figures of the data set. */
export function DataFacts({ data }: { data: DataSummary }) {
  const { p50, p95, longest } = data;
  const lengths = { p50: formatCount(p50), p95: formatCount(p95), longest: formatCount(longest) };
  const trained = data.tokens === 0 ? 0 : data.trainedTokens / data.tokens;
  return (
    <div className="group">
      <h3>{t('facts.title')}</h3>
      <Stats
        items={[
          { label: t('facts.format'), value: data.format, wide: true },
          { label: t('facts.trainRows'), value: formatCount(data.trainRows) },
          { label: t('facts.evalRows'), value: formatCount(data.evalRows) },
          { label: t('facts.tokens'), value: formatCount(data.tokens) },
          { label: t('facts.trained'), value: formatShare(trained) },
          { label: t('facts.truncated'), value: formatCount(data.truncated) },
          { label: t('facts.duplicates'), value: formatCount(data.duplicates) },
        ]}
      />
      <p className="small quiet">{t('facts.lengths', lengths)}</p>
    </div>
  );
}
