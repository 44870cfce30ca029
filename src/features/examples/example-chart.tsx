import { useMemo } from 'react';
import type { ExampleKind } from '../../../workers/examples-api.ts';
import { formatShare } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import type { ExampleView } from '../../stores/examples-store.ts';
import { type ChartSeries, LineChart } from '../../ui/line-chart.tsx';

const NAMES = { reward: 'examples.rewardPoint', preference: 'examples.preferencePoint' } as const;

/** The share that an example is about, over its steps: a line, and the last value in words. */
export function ExampleChart({ kind, points }: { kind: ExampleKind; points: ExampleView['points'] }) {
  const name = t(NAMES[kind]);
  const series = useMemo<readonly ChartSeries[]>(
    () => [{ label: name, color: '--series-loss', width: 2.5, dots: true }],
    [name],
  );
  const columns = useMemo<[number[], number[]]>(
    () => [points.map(({ step }) => step), points.map(({ share }) => share)],
    [points],
  );
  const last = points.at(-1)?.share ?? 0;
  return (
    <div className="group">
      <p className="small quiet">
        {name}: {formatShare(last)}
      </p>
      <div className="chart example-chart" role="img" aria-label={t('examples.chart', { name })}>
        <LineChart columns={columns} series={series} reach={10} top={1} onPoint={() => undefined} />
      </div>
    </div>
  );
}
