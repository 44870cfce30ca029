import { useStore } from 'zustand';
import { compareCheckpoints, refreshKept, removeCheckpoints } from '../../client/checkpoints.ts';
import { formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { keptStore, PAGE_ROWS } from '../../stores/kept-store.ts';
import type { StoreView } from '../../../workers/checkpoints-api.ts';
import { Button } from '../../ui/button.tsx';
import { CheckpointRowView } from './checkpoint-row.tsx';

/** One page of checkpoints, and what can be done with those that are marked. */
export function CheckpointList({ view }: { view: StoreView }) {
  const { marked, open } = useStore(keptStore);
  if (view.items.length === 0) return <p className="quiet">{t('kept.noMatch')}</p>;
  const rows = view.items.filter(({ id }) => marked.includes(id));
  const [first, second] = rows;
  const canCompare = rows.length === 2 && first !== undefined && second !== undefined;
  return (
    <div className="group">
      <div className="table-frame">
        <table className="kept-table">
          <thead>
            <tr>
              <th scope="col">
                <span className="visually-hidden">{t('kept.compare')}</span>
              </th>
              <th scope="col">{t('kept.colName')}</th>
              <th scope="col">{t('kept.colRun')}</th>
              <th scope="col">{t('kept.colStep')}</th>
              <th scope="col">{t('kept.colLoss')}</th>
              <th scope="col">{t('kept.colEval')}</th>
              <th scope="col">{t('kept.colSize')}</th>
              <th scope="col">{t('kept.colSaved')}</th>
              <th scope="col">
                <span className="visually-hidden">{t('kept.more')}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {view.items.map((row) => (
              <CheckpointRowView
                key={row.id}
                row={row}
                marked={marked.includes(row.id)}
                open={open === row.id}
              />
            ))}
          </tbody>
        </table>
      </div>
      <div className="kept-foot">
        <p className="small quiet">
          {t('kept.rows', {
            from: formatCount(view.offset + 1),
            to: formatCount(view.offset + view.items.length),
            total: formatCount(view.total),
          })}
        </p>
        <Pages view={view} />
        <Button
          unavailable={!canCompare}
          onPress={() => {
            if (canCompare) void compareCheckpoints(first, second);
          }}
        >
          {t('kept.compare')}
        </Button>
        {rows.length > 0 ? (
          <Button onPress={() => void removeCheckpoints(rows.map(({ id }) => id))}>
            {t('kept.deleteMarked', { count: formatCount(rows.length) })}
          </Button>
        ) : (
          <p className="small quiet">{t('kept.compareHint')}</p>
        )}
      </div>
    </div>
  );
}

function Pages({ view }: { view: StoreView }) {
  if (view.total <= PAGE_ROWS) return null;
  const { offset, nextOffset } = view;
  return (
    <>
      <Button
        unavailable={offset === 0}
        onPress={() => void refreshKept({ offset: Math.max(0, offset - PAGE_ROWS) })}
      >
        {t('kept.previous')}
      </Button>
      <Button
        unavailable={nextOffset === null}
        onPress={() => void refreshKept({ offset: nextOffset ?? offset })}
      >
        {t('kept.next')}
      </Button>
    </>
  );
}
