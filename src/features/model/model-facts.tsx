import type { ModelSummary } from '../../../workers/api.ts';
import { formatBytes, formatCompact, formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { Stats } from '../../ui/stats.tsx';

/** What was loaded. */
export function ModelFacts({ model }: { model: ModelSummary }) {
  return (
    <div className="group">
      <h3>{model.id}</h3>
      <Stats
        items={[
          { label: t('model.family'), value: model.family },
          { label: t('model.parameters'), value: formatCompact(model.parameters) },
          { label: t('model.layers'), value: formatCount(model.layers) },
          { label: t('model.dtype'), value: model.dtype },
          {
            label: t('model.context'),
            value: t('common.tokens', { count: formatCount(model.maxPositions) }),
          },
          { label: t('model.memory'), value: formatBytes(model.gpuBytes) },
        ]}
      />
      {model.hasChatTemplate ? null : <p className="small quiet">{t('model.noTemplate')}</p>}
    </div>
  );
}
