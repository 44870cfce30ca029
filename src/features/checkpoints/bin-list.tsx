import { emptyBin, restoreCheckpoints } from '../../client/checkpoints.ts';
import { formatBytes, formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import type { StoreView } from '../../../workers/checkpoints-api.ts';
import { Button } from '../../ui/button.tsx';
import { Disclosure } from '../../ui/disclosure.tsx';

/** What was deleted and can be brought back. */
export function BinList({ view }: { view: StoreView }) {
  if (view.bin.length === 0) return null;
  const title = t('kept.binTitle', {
    count: formatCount(view.bin.length),
    size: formatBytes(view.binBytes),
  });
  return (
    <Disclosure title={title}>
      <ul className="kept-bin">
        {view.bin.map(({ id, name, runName, size }) => (
          <li key={id}>
            <span>{t('kept.binRow', { name, run: runName, size: formatBytes(size) })}</span>
            <Button label={t('kept.binRestoreOf', { name })} onPress={() => void restoreCheckpoints([id])}>
              {t('kept.binRestore')}
            </Button>
          </li>
        ))}
      </ul>
      <Button onPress={() => void emptyBin()}>{t('kept.binEmpty')}</Button>
    </Disclosure>
  );
}
