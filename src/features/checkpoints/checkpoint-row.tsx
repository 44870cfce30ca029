import { useStore } from 'zustand';
import { formatBytes, formatCount, formatFigure, formatTime } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { keptStore, toggleMark } from '../../stores/kept-store.ts';
import { runStore } from '../../stores/run-store.ts';
import { isBusy } from '../../stores/run-view.ts';
import { resumeCheckpoint } from '../../client/resume.ts';
import type { CheckpointRow } from '../../../workers/checkpoints-api.ts';
import { Button } from '../../ui/button.tsx';
import { CheckpointDetails } from './checkpoint-details.tsx';

interface RowProps {
  row: CheckpointRow;
  marked: boolean;
  open: boolean;
}

const figure = (value: number | undefined): string => (value === undefined ? '' : formatFigure(value));

/** What sets a checkpoint apart, in a word each. */
export function badgesOf(row: CheckpointRow): string[] {
  return [
    ...(row.damage === null ? [] : [t('kept.isDamaged')]),
    ...(row.pinned ? [t('kept.pinned')] : []),
    ...(row.kind === 'sampler' ? [t('kept.adapterOnly')] : []),
    ...(row.kind === 'hf-trainer' ? [t('kept.trainer')] : []),
    ...(row.deltaRatio === null ? [] : [t('kept.delta', { ratio: formatFigure(row.deltaRatio) })]),
    ...(row.expiresAt === null ? [] : [t('kept.expires', { when: formatTime(row.expiresAt) })]),
    ...row.tags,
  ];
}

/** A checkpoint in the list; its details open below it. */
export function CheckpointRowView({ row, marked, open }: RowProps) {
  const busy = useStore(runStore, ({ state }) => isBusy(state));
  // The end of a run has nothing left to train; its details offer the warm start.
  const ended = row.trigger === 'final' || row.trigger === 'program';
  const canResume = row.kind === 'full' && row.damage === null && !ended;
  return (
    <>
      <tr data-damaged={row.damage !== null}>
        <td>
          <input
            type="checkbox"
            aria-label={t('kept.mark', { name: row.name })}
            checked={marked}
            onChange={() => toggleMark(row.id)}
          />
        </td>
        <th scope="row">
          <span className="kept-name">{row.name}</span>
          {badgesOf(row).map((badge) => (
            <span className="badge" key={badge}>
              {badge}
            </span>
          ))}
        </th>
        <td data-label={t('kept.colRun')}>{row.runName}</td>
        <td data-label={t('kept.colStep')}>{formatCount(row.step)}</td>
        <td data-label={t('kept.colLoss')}>{figure(row.metrics['loss'])}</td>
        <td data-label={t('kept.colEval')}>{figure(row.metrics['evalLoss'])}</td>
        <td data-label={t('kept.colSize')}>{formatBytes(row.size)}</td>
        <td data-label={t('kept.colSaved')}>{formatTime(row.createdAt)}</td>
        <td className="kept-actions">
          {canResume ? (
            <Button
              unavailable={busy}
              label={t('kept.resumeFrom', { name: row.name })}
              onPress={() => void resumeCheckpoint(row)}
            >
              {t('kept.resume')}
            </Button>
          ) : null}
          <Button
            label={open ? undefined : t('kept.moreOf', { name: row.name })}
            onPress={() => keptStore.setState({ open: open ? null : row.id })}
          >
            {t(open ? 'kept.less' : 'kept.more')}
          </Button>
        </td>
      </tr>
      {open ? (
        <tr className="kept-details-row">
          <td colSpan={9}>
            <CheckpointDetails row={row} busy={busy} />
          </td>
        </tr>
      ) : null}
    </>
  );
}
