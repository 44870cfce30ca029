import { useStore } from 'zustand';
import { filterKept } from '../../client/checkpoints.ts';
import { formatBytes, formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import type { ListQuery, StoreView } from '../../../workers/checkpoints-api.ts';
import { PlainSelect } from '../../ui/plain-select.tsx';
import { TextField } from '../../ui/text-field.tsx';

const SORTS = {
  saved: { sort: 'saved', order: 'desc' },
  step: { sort: 'step', order: 'desc' },
  loss: { sort: { metric: 'evalLoss' }, order: 'asc' },
  size: { sort: 'size', order: 'desc' },
  name: { sort: 'name', order: 'asc' },
} as const satisfies Record<string, Pick<ListQuery, 'sort' | 'order'>>;

type SortName = keyof typeof SORTS;

const sortOf = ({ sort }: ListQuery): SortName =>
  typeof sort === 'object' ? 'loss' : sort === undefined ? 'saved' : sort;

/** Takes a member away where it asks for everything: a query says only what it narrows. */
function narrowed(query: ListQuery, change: Partial<Record<keyof ListQuery, unknown>>): void {
  keptStore.setState({
    query: Object.fromEntries(Object.entries({ ...query, ...change }).filter(([, value]) => value !== '')),
  });
  filterKept({});
}

/** Which checkpoints are listed, and in which order. */
export function ListFilters({ view }: { view: StoreView }) {
  const query = useStore(keptStore, (state) => state.query);
  return (
    <div className="kept-filters">
      <TextField
        label={t('kept.find')}
        placeholder={t('kept.findHint')}
        value={query.text ?? ''}
        onChange={(text) => narrowed(query, { text })}
      />
      <PlainSelect
        label={t('kept.run')}
        value={query.runId ?? ''}
        options={[
          { value: '', label: t('kept.allRuns') },
          ...view.runs.map(({ id, name, checkpoints, bytes }) => ({
            value: id,
            label: t('kept.runOption', { name, count: formatCount(checkpoints), size: formatBytes(bytes) }),
          })),
        ]}
        onChange={(runId) => narrowed(query, { runId })}
      />
      <PlainSelect
        label={t('kept.kind')}
        value={query.kind ?? ''}
        options={[
          { value: '', label: t('kept.allKinds') },
          { value: 'full', label: t('kept.kindFull') },
          { value: 'sampler', label: t('kept.kindSampler') },
          { value: 'hf-trainer', label: t('kept.kindTrainer') },
        ]}
        onChange={(kind) => narrowed(query, { kind })}
      />
      <PlainSelect
        label={t('kept.sort')}
        value={sortOf(query)}
        options={[
          { value: 'saved', label: t('kept.sortSaved') },
          { value: 'step', label: t('kept.sortStep') },
          { value: 'loss', label: t('kept.sortLoss') },
          { value: 'size', label: t('kept.sortSize') },
          { value: 'name', label: t('kept.sortName') },
        ]}
        onChange={(name) => narrowed(query, SORTS[name])}
      />
    </div>
  );
}
