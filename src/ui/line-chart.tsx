import { type RefObject, useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface ChartSeries {
  label: string;
  /** Name of the colour in tokens.css, such as `--series-loss`. */
  color: string;
  width: number;
  dash?: readonly number[];
  /** Marks every value with a dot. */
  dots?: true;
}

interface LineChartProps {
  /** The first column is x; null where a series has no value. */
  columns: readonly [number[], ...(number | null)[][]];
  series: readonly ChartSeries[];
  /** The least that the x axis reaches to. */
  reach: number;
  /** The top of the y axis, where it is known beforehand; else the largest value. */
  top?: number;
  /** The place of the pointer in the columns, or null. */
  onPoint: (index: number | null) => void;
}

/** Lines over steps, drawn on a canvas by uPlot. The caller gives it a role, a name and a summary. */
export function LineChart({ columns, series, reach, top, onPoint }: LineChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(null);
  const latest = useRef<Pick<LineChartProps, 'columns' | 'reach' | 'top' | 'onPoint'>>({
    columns,
    reach,
    onPoint,
  });
  useEffect(() => {
    latest.current = { columns, reach, onPoint, ...(top === undefined ? {} : { top }) };
  });
  useEffect(() => keepChart(host, chart, latest, series), [series]);
  useEffect(() => chart.current?.setData([...columns]), [columns, reach]);
  return <div ref={host} />;
}

type Latest = RefObject<Pick<LineChartProps, 'columns' | 'reach' | 'top' | 'onPoint'>>;

/** Makes the chart, and makes it anew when the colours change; returns the function that removes it. */
function keepChart(
  host: RefObject<HTMLDivElement | null>,
  chart: RefObject<uPlot | null>,
  latest: Latest,
  series: readonly ChartSeries[],
): (() => void) | undefined {
  const element = host.current;
  const frame = element?.parentElement;
  if (element === null || !frame) return undefined;
  const draw = (): void => {
    chart.current?.destroy();
    chart.current = new uPlot(chartOptions(frame, latest, series), [...latest.current.columns], element);
  };
  const resized = new ResizeObserver(() => chart.current?.setSize(sizeOf(frame)));
  const theme = matchMedia('(prefers-color-scheme: dark)');
  draw();
  resized.observe(frame);
  theme.addEventListener('change', draw);
  return () => {
    theme.removeEventListener('change', draw);
    resized.disconnect();
    chart.current?.destroy();
    chart.current = null;
  };
}

function sizeOf(frame: HTMLElement): { width: number; height: number } {
  return { width: frame.clientWidth, height: frame.clientHeight };
}

function chartOptions(frame: HTMLElement, latest: Latest, series: readonly ChartSeries[]): uPlot.Options {
  const style = getComputedStyle(frame);
  const color = (name: string): string => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color('--text-quiet'),
    font: `12px ${color('--font')}`,
    grid: { stroke: color('--line'), width: 1 },
    ticks: { stroke: color('--line'), width: 1, size: 4 },
  };
  return {
    ...sizeOf(frame),
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { setScale: false }, points: { size: 7 } },
    scales: {
      x: { time: false, range: (_, __, max) => [0, Math.max(latest.current.reach, max || 0, 1)] },
      y: {
        range: (_, __, max) => [0, latest.current.top ?? (Number.isFinite(max) && max > 0 ? max * 1.05 : 1)],
      },
    },
    axes: [
      { ...axis, size: 32, space: 56 },
      { ...axis, size: 44 },
    ],
    series: [{}, ...series.map((line) => lineOptions(line, color(line.color)))],
    hooks: { setCursor: [({ cursor }) => latest.current.onPoint(cursor.idx ?? null)] },
  };
}

function lineOptions(line: ChartSeries, stroke: string): uPlot.Series {
  return {
    label: line.label,
    stroke,
    width: line.width,
    spanGaps: true,
    points: line.dots === true ? { show: true, size: 7, fill: stroke } : { show: false },
    ...(line.dash && { dash: [...line.dash] }),
  };
}

/** The look of a line beside its name. */
export function SeriesSample({ line }: { line: ChartSeries }) {
  return (
    <svg viewBox="0 0 28 10" aria-hidden="true" focusable="false">
      <line
        x1="0"
        x2="28"
        y1="5"
        y2="5"
        stroke={`var(${line.color})`}
        strokeWidth={line.width}
        strokeDasharray={line.dash?.join(' ')}
      />
      {line.dots === true ? <circle cx="14" cy="5" r="3.5" fill={`var(${line.color})`} /> : null}
    </svg>
  );
}
