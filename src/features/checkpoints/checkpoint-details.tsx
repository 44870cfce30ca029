import { exportCheckpoint, removeCheckpoints, verifyCheckpoint } from '../../client/checkpoints.ts';
import { warmStart } from '../../client/resume.ts';
import { t, type TextKey } from '../../i18n/index.ts';
import type { CheckpointRow, ExportKind } from '../../../workers/checkpoints-api.ts';
import { Button } from '../../ui/button.tsx';
import { Stats } from '../../ui/stats.tsx';
import { CheckpointEdit } from './checkpoint-edit.tsx';

const WHY = {
  steps: 'kept.whySteps',
  minutes: 'kept.whyMinutes',
  rolling: 'kept.whyRolling',
  best: 'kept.whyBest',
  pause: 'kept.whyPause',
  hidden: 'kept.whyHidden',
  interrupt: 'kept.whyInterrupt',
  stopped: 'kept.whyStopped',
  manual: 'kept.whyManual',
  final: 'kept.whyFinal',
  import: 'kept.whyImport',
  program: 'kept.whyProgram',
} as const satisfies Record<string, TextKey>;

const isKnown = (trigger: string): trigger is keyof typeof WHY => trigger in WHY;

const EXPORTS = [
  { kind: 'full', text: 'kept.exportFull' },
  { kind: 'sampler', text: 'kept.exportSampler' },
  { kind: 'hf-trainer', text: 'kept.exportTrainer' },
] as const satisfies readonly { kind: ExportKind; text: TextKey }[];

/** Everything about one checkpoint, and what can be done with it. */
export function CheckpointDetails({ row, busy }: { row: CheckpointRow; busy: boolean }) {
  const whole = row.damage === null;
  const kinds = EXPORTS.filter(({ kind }) => kind === 'sampler' || row.kind === 'full');
  return (
    <section className="kept-details" aria-label={t('kept.details', { name: row.name })}>
      {row.damage === null ? null : <p className="field-problem">{row.damage}</p>}
      <Stats
        items={[
          {
            label: t('kept.why'),
            value: isKnown(row.trigger) ? t(WHY[row.trigger]) : row.trigger,
            wide: true,
          },
          ...(row.parent === null
            ? []
            : [{ label: t('kept.parent'), value: row.parent, wide: true as const }]),
          ...(row.baseId === null ? [] : [{ label: t('kept.base'), value: row.baseId, wide: true as const }]),
          ...(row.note === '' ? [] : [{ label: t('kept.note'), value: row.note, wide: true as const }]),
          {
            label: t('kept.fits'),
            value:
              row.serverObstacles.length === 0
                ? t('kept.fitsYes')
                : t('kept.fitsNo', { why: row.serverObstacles.join('; ') }),
            wide: true,
          },
          ...Object.entries(row.metadata).map(([label, value]) => ({ label, value, wide: true as const })),
        ]}
      />
      {whole ? (
        <div className="kept-buttons">
          {kinds.map(({ kind, text }) => (
            <Button key={kind} onPress={() => void exportCheckpoint(row, kind)}>
              {t(text)}
            </Button>
          ))}
          <Button unavailable={busy} onPress={() => void warmStart(row)}>
            {t('kept.warmStart')}
          </Button>
        </div>
      ) : null}
      {whole ? (
        <p className="small quiet">
          {row.kind === 'full' && row.trigger !== 'program'
            ? `${t('kept.resume')}: ${t('kept.resumeHint')} `
            : ''}
          {`${t('kept.warmStart')}: ${t('kept.warmStartHint')}`}
        </p>
      ) : null}
      <CheckpointEdit key={row.id} row={row} />
      <div className="kept-buttons">
        <Button onPress={() => void verifyCheckpoint(row)}>{t('kept.verify')}</Button>
        <Button onPress={() => void removeCheckpoints([row.id])}>{t('kept.delete')}</Button>
      </div>
    </section>
  );
}
