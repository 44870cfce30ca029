/** The state of a run in one sentence for the live region: it changes at milestones, never with every step. */
import { formatCount, formatFigure, formatShare } from '../i18n/format.ts';
import { t } from '../i18n/index.ts';
import type { RunView } from './run-view.ts';

const MILESTONES = 10;

function milestone(run: RunView): string {
  const part = run.steps === 0 ? 0 : run.metrics.length / run.steps;
  return formatShare(Math.floor(part * MILESTONES) / MILESTONES);
}

/** The sentence that `role=status` holds. */
export function runStatus(run: RunView): string {
  const step = formatCount(run.metrics.length);
  const steps = formatCount(run.steps);
  const evaluation = run.evaluations.at(-1);
  switch (run.state) {
    case 'idle':
      return t('status.idle');
    case 'preparing':
      return t('status.preparing');
    case 'running':
      if (run.pausing) return t('status.pausing');
      return evaluation === undefined
        ? t('status.running', { share: milestone(run) })
        : t('status.runningEvaluated', { share: milestone(run), loss: formatFigure(evaluation.loss) });
    case 'paused':
      return t('status.paused', { step, steps });
    case 'stopping':
      return t('status.stopping');
    case 'done':
      return t('status.done', { steps });
    case 'stopped':
      return t('status.stopped', { step, steps });
    case 'failed':
      return t('status.failed');
    default:
      return run.state satisfies never;
  }
}
