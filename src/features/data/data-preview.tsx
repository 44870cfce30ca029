import { useId, useState } from 'react';
import type { DataSummary } from '../../../workers/api.ts';
import { t } from '../../i18n/index.ts';
import { Button } from '../../ui/button.tsx';
import { TokenLegend, TokenRow } from '../../ui/token-view.tsx';

const FIRST_ROWS = 2;

/** The first rows as the training sees them. */
export function DataPreview({ rows }: { rows: DataSummary['preview'] }) {
  const id = useId();
  const [all, setAll] = useState(false);
  return (
    <div className="group">
      <h3 id={id}>{t('preview.title')}</h3>
      <TokenLegend />
      <ol className="token-rows" aria-labelledby={id}>
        {rows.slice(0, all ? undefined : FIRST_ROWS).map((pieces, index) => (
          <TokenRow key={index} pieces={pieces} />
        ))}
      </ol>
      {rows.length > FIRST_ROWS ? (
        <div>
          <Button look="link" onPress={() => setAll(!all)}>
            {t(all ? 'preview.fewer' : 'preview.more')}
          </Button>
        </div>
      ) : null}
    </div>
  );
}
