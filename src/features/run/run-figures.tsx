import { formatBytes, formatCompact, formatCount, formatDuration, formatFigure } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { isBusy, recentSpeed, type RunView, secondsLeft } from '../../stores/run-view.ts';
import { Stats } from '../../ui/stats.tsx';

const NONE = '–';

/** The figures that tick with every step. Not a live region: the status speaks for them. */
export function RunFigures({ run }: { run: RunView }) {
  const last = run.metrics.at(-1);
  const left = secondsLeft(run);
  const speed = recentSpeed(run);
  const running = isBusy(run.state);
  return (
    <Stats
      look="figures"
      items={[
        {
          label: t('figure.step'),
          value: (
            <>
              {formatCount(last?.step ?? 0)}{' '}
              {run.steps === 0 ? null : (
                <small>{t('figure.ofSteps', { steps: formatCount(run.steps) })}</small>
              )}
            </>
          ),
        },
        { label: t('figure.loss'), value: last === undefined ? NONE : formatFigure(last.loss) },
        { label: t('figure.speed'), value: speed === null ? NONE : formatCompact(speed) },
        running
          ? { label: t('figure.timeLeft'), value: left === null ? NONE : formatDuration(left) }
          : { label: t('figure.time'), value: last === undefined ? NONE : formatDuration(last.seconds) },
        { label: t('figure.memory'), value: last === undefined ? NONE : formatBytes(last.memoryBytes) },
      ]}
    />
  );
}
