import type { Progress } from '../../../workers/api.ts';
import { formatBytes } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { ProgressBar } from '../../ui/progress-bar.tsx';

/** How far the model is loaded. */
export function LoadProgress({ progress }: { progress: Progress | null }) {
  if (progress === null || progress.total === 0)
    return <ProgressBar label={t('model.loading')} value={null} />;
  const { label, done, total } = progress;
  return (
    <ProgressBar
      label={t('model.loadingPart', { name: label })}
      detail={t('common.of', { done: formatBytes(done), total: formatBytes(total) })}
      value={done / total}
    />
  );
}
