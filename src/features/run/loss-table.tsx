import { formatCount, formatFigure, formatRate } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { lossColumns, type RunView } from '../../stores/run-view.ts';

/** About so many rows: a longer run shows every n-th step, and all that were evaluated. */
const ROWS = 200;

/** The curve as a table. */
export function LossTable({ run }: { run: RunView }) {
  const [steps, raw, , evaluation] = lossColumns(run);
  const every = Math.ceil(steps.length / ROWS);
  const byStep = new Map(run.metrics.map((metric) => [metric.step, metric]));
  const cell = (value: number | null | undefined): string =>
    typeof value === 'number' ? formatFigure(value) : '';
  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be in reach of the keyboard
    <section className="table-wrap" tabIndex={0} aria-label={t('table.name')}>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">{t('table.step')}</th>
            <th scope="col">{t('table.loss')}</th>
            <th scope="col">{t('table.evaluation')}</th>
            <th scope="col">{t('table.rate')}</th>
            <th scope="col">{t('table.gradNorm')}</th>
          </tr>
        </thead>
        <tbody>
          {steps.map((step, index) => {
            if (index % every !== 0 && evaluation[index] === null) return null;
            const metric = byStep.get(step);
            return (
              <tr key={step}>
                <th scope="row">{formatCount(step)}</th>
                <td>{cell(raw[index])}</td>
                <td>{cell(evaluation[index])}</td>
                <td>{metric === undefined ? '' : formatRate(metric.lr)}</td>
                <td>{cell(metric?.gradNorm)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
