import { formatCount, formatFigure } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { type RunView, smooth } from '../../stores/run-view.ts';

/** Smaller changes are noise. */
const TREND = 0.02;

/** The curve in words: `Loss 1.83 at step 240, falling. Evaluation loss went from 2.64 to 1.20.` */
export function lossSummary(run: RunView): string {
  const last = run.metrics.at(-1);
  if (last === undefined) return t('chart.noValues');
  const parts = [t(`chart.${trendOf(run)}`, { loss: formatFigure(last.loss), step: formatCount(last.step) })];
  const first = run.evaluations.at(0);
  const latest = run.evaluations.at(-1);
  if (first !== undefined && latest !== undefined && first !== latest) {
    parts.push(t('chart.evaluationWent', { from: formatFigure(first.loss), to: formatFigure(latest.loss) }));
  }
  return parts.join(' ');
}

/** Compares the smoothed loss now with that of a fifth of the run ago. */
function trendOf(run: RunView): 'falling' | 'rising' | 'level' {
  const losses = smooth(run.metrics.map(({ loss }) => loss));
  const now = losses.at(-1) ?? 0;
  const then = losses.at(-1 - Math.ceil(losses.length / 5)) ?? now;
  if (now < then * (1 - TREND)) return 'falling';
  return now > then * (1 + TREND) ? 'rising' : 'level';
}
