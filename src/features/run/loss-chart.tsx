import { useId, useMemo, useState } from 'react';
import { formatCount, formatFigure } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { lossColumns, type RunView } from '../../stores/run-view.ts';
import { Disclosure } from '../../ui/disclosure.tsx';
import { type ChartSeries, LineChart, SeriesSample } from '../../ui/line-chart.tsx';
import { lossSummary } from './loss-summary.ts';
import { LossTable } from './loss-table.tsx';

const SERIES: readonly ChartSeries[] = [
  { label: t('chart.raw'), color: '--series-loss-raw', width: 1 },
  { label: t('chart.smoothed'), color: '--series-loss', width: 2.5 },
  { label: t('chart.evaluation'), color: '--series-eval', width: 2, dash: [6, 4], dots: true },
];

/** The loss over the steps as a picture, a sentence and a table. */
export function LossChart({ run }: { run: RunView }) {
  const id = useId();
  const [point, setPoint] = useState<number | null>(null);
  const columns = useMemo(() => lossColumns(run), [run]);
  const empty = columns[0].length === 0;
  return (
    <div className="group">
      <div className="chart-head">
        <h3>{t('chart.title')}</h3>
        <ul className="series">
          {SERIES.map((line) => (
            <li key={line.label}>
              <SeriesSample line={line} />
              {line.label}
            </li>
          ))}
        </ul>
      </div>
      <div className="chart">
        <div className="chart" role="img" aria-label={t('chart.name')} aria-describedby={id}>
          {empty ? null : (
            <LineChart columns={columns} series={SERIES} reach={run.steps} onPoint={setPoint} />
          )}
        </div>
        {empty ? (
          <p className="chart-empty" aria-hidden="true">
            {t('chart.empty')}
          </p>
        ) : null}
      </div>
      <p className="small quiet" id={id}>
        {point === null ? lossSummary(run) : pointText(columns, point)}
      </p>
      {empty ? null : (
        <Disclosure title={t('chart.table')}>
          <LossTable run={run} />
        </Disclosure>
      )}
    </div>
  );
}

/** The values under the pointer. */
function pointText(
  [steps, raw, smoothed, evaluation]: ReturnType<typeof lossColumns>,
  index: number,
): string {
  const parts = [t('chart.step', { step: formatCount(steps[index] ?? 0) })];
  for (const [name, column] of [
    [t('chart.raw'), raw],
    [t('chart.smoothed'), smoothed],
    [t('chart.evaluation'), evaluation],
  ] as const) {
    const value = column[index];
    if (typeof value === 'number') parts.push(`${name} ${formatFigure(value)}`);
  }
  return parts.join(' · ');
}
