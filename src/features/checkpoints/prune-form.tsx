import { useState } from 'react';
import { useStore } from 'zustand';
import { planPrune, prune } from '../../client/checkpoints.ts';
import { formatBytes, formatCount } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import type { RetentionPolicy, StoreView } from '../../../workers/checkpoints-api.ts';
import { Button } from '../../ui/button.tsx';
import { Disclosure } from '../../ui/disclosure.tsx';
import { PlainSelect } from '../../ui/plain-select.tsx';
import { TextField } from '../../ui/text-field.tsx';

const isCount = (text: string): boolean => /^\d{1,6}$/.test(text.trim());

/** Lets a policy clean up a run, after showing what would go. */
export function PruneForm({ view }: { view: StoreView }) {
  const planned = useStore(keptStore, (state) => state.prune);
  const [runId, setRunId] = useState(view.runs[0]?.id ?? '');
  const [latest, setLatest] = useState('3');
  const chosen = view.runs.find(({ id }) => id === runId) ?? view.runs[0];
  if (chosen === undefined) return null;
  const policy: RetentionPolicy = {
    keepLatest: Math.max(1, Number(latest)),
    keepBest: { count: 1, metric: 'evalLoss', direction: 'min' },
  };
  const plan = planned?.runId === chosen.id ? planned.plan : null;
  const names = plan?.remove.map(({ checkpoint }) => checkpoint.name) ?? [];
  return (
    <Disclosure title={t('kept.pruneTitle')}>
      <p className="small quiet">{t('kept.pruneHint')}</p>
      <div className="kept-filters">
        <PlainSelect
          label={t('kept.run')}
          value={chosen.id}
          options={view.runs.map(({ id, name }) => ({ value: id, label: name }))}
          onChange={(id) => {
            setRunId(id);
            keptStore.setState({ prune: null });
          }}
        />
        <TextField
          label={t('setting.keepLatest')}
          value={latest}
          numeric
          problem={isCount(latest) ? undefined : t('settings.notWhole')}
          onChange={(text) => {
            setLatest(text);
            keptStore.setState({ prune: null });
          }}
        />
      </div>
      <div className="kept-foot">
        <Button unavailable={!isCount(latest)} onPress={() => void planPrune(chosen.id, policy)}>
          {t('kept.prunePlan')}
        </Button>
        {plan !== null && names.length > 0 ? (
          <Button onPress={() => void prune(chosen.id, policy)}>
            {t('kept.pruneDo', { count: formatCount(names.length) })}
          </Button>
        ) : null}
      </div>
      {plan === null ? null : names.length === 0 ? (
        <p>{t('kept.pruneNothing')}</p>
      ) : (
        <p>
          {t('kept.pruneFrees', { count: formatCount(names.length), size: formatBytes(plan.bytes) })}{' '}
          {names.join(', ')}
        </p>
      )}
    </Disclosure>
  );
}
