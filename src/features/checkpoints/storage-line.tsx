import { keepData } from '../../client/checkpoints.ts';
import { formatBytes } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import type { StoreView } from '../../../workers/checkpoints-api.ts';
import { Button } from '../../ui/button.tsx';
import { ProgressBar } from '../../ui/progress-bar.tsx';

/** How much the checkpoints take, of how much, and whether the browser may throw them away. */
export function StorageLine({ view }: { view: StoreView }) {
  const { space, totalBytes } = view;
  const used = formatBytes(totalBytes);
  const text =
    space === null
      ? t('kept.spaceNoQuota', { used })
      : t('kept.space', { used, quota: formatBytes(space.quota) });
  return (
    <div className="group">
      {space === null ? (
        <p className="small quiet">{text}</p>
      ) : (
        <ProgressBar label={text} value={Math.min(1, space.usage / space.quota)} />
      )}
      {space === null ? null : space.persisted ? (
        <p className="small quiet">{t('kept.persisted')}</p>
      ) : (
        <div className="kept-foot">
          <Button onPress={() => void keepData()}>{t('kept.persist')}</Button>
          <p className="small quiet">{t('kept.persistHint')}</p>
        </div>
      )}
    </div>
  );
}
