import type { MemoryEstimate } from '../../../workers/api.ts';
import { formatBytes, formatCompact } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';

/** How much of the model is trained, and what the memory is made of. */
export function TrainedShare({ memory }: { memory: MemoryEstimate | null }) {
  if (memory === null) return null;
  const { trainable, parameters, weights, adapter, activations } = memory;
  return (
    <p className="small quiet">
      {t('run.trainable', { trainable: formatCompact(trainable), parameters: formatCompact(parameters) })}{' '}
      {t('run.memory', {
        weights: formatBytes(weights),
        adapter: formatBytes(adapter),
        activations: formatBytes(activations),
      })}
    </p>
  );
}
