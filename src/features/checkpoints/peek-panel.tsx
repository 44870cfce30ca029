import { useEffect, useRef } from 'react';
import { useStore } from 'zustand';
import { addDropped, dismissDropped, useAsData, useAsModel } from '../../client/dropped-checkpoint.ts';
import { t, type TextKey } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import { runStore } from '../../stores/run-store.ts';
import { isBusy } from '../../stores/run-view.ts';
import type { Peek } from '../../../workers/checkpoints-api.ts';
import { Button } from '../../ui/button.tsx';
import { ErrorNote } from '../../ui/error-note.tsx';
import { Stats } from '../../ui/stats.tsx';

type ActionName = Peek['actions'][number]['name'];

const TEXTS = {
  add: 'drop.add',
  resume: 'drop.resume',
  'warm-start': 'drop.warmStart',
  'use-as-data': 'drop.asData',
  'use-as-model': 'drop.asModel',
} as const satisfies Record<ActionName, TextKey>;

const ACTIONS: Record<ActionName, () => void> = {
  add: () => void addDropped('list'),
  resume: () => void addDropped('resume'),
  'warm-start': () => void addDropped('warm-start'),
  'use-as-data': useAsData,
  'use-as-model': useAsModel,
};

/** What was dropped is, and what can be done with it: nothing is done before the person says so. */
export function PeekPanel() {
  const dropped = useStore(keptStore, (state) => state.dropped);
  const busy = useStore(runStore, ({ state }) => isBusy(state));
  const panel = useRef<HTMLElement>(null);
  // What was dropped, picked or fetched may have been so from far below.
  useEffect(() => {
    panel.current?.scrollIntoView({ block: 'start' });
  }, [dropped]);
  if (dropped === null) return null;
  const { peek } = dropped;
  const blocked = (name: ActionName, why: string | null): string | null =>
    name !== 'add' && busy ? t('drop.whileRunning') : why;
  return (
    <section ref={panel} className="kept-details" aria-label={t('drop.title')}>
      <h3>
        {peek.name}: {peek.title}
      </h3>
      {peek.error === null ? null : <ErrorNote error={peek.error} />}
      {peek.facts.length === 0 ? null : (
        <Stats items={peek.facts.map(({ label, value }) => ({ label, value, wide: true }))} />
      )}
      {peek.notes.map((note) => (
        <p className="notice" key={note}>
          {note}
        </p>
      ))}
      <div className="kept-buttons">
        {peek.actions.map(({ name, blocked: why }, index) => (
          <Button
            key={name}
            look={index === 0 ? 'primary' : 'plain'}
            unavailable={blocked(name, why) !== null}
            onPress={ACTIONS[name]}
          >
            {t(TEXTS[name])}
          </Button>
        ))}
        <Button onPress={dismissDropped}>{t('drop.dismiss')}</Button>
      </div>
      {peek.actions.map(({ name, blocked: why }) => {
        const reason = blocked(name, why);
        return reason === null ? null : (
          <p className="small quiet" key={name}>
            {t('drop.cannot', { what: t(TEXTS[name]), why: reason })}
          </p>
        );
      })}
    </section>
  );
}
