/** Every variant of the products with a frozen weight at SmolLM2's shapes, against the probe of the same minutes. */
import { variantsFor, type GemmVariant } from '../src/engine/ops/gemm.ts';
import type { Context } from './context.ts';
import { probeSubject } from './probe.ts';
import { ProductBench, type Direction, type ProductShape } from './product.ts';
import { fixed, percent, table } from './table.ts';
import { shareOf, takeTurns, type Subject } from './timing.ts';

const TOKENS = [64, 128, 256];
const SHAPES: readonly [number, number][] = [
  [576, 1536],
  [1536, 576],
  [576, 576],
  [576, 192],
];

export interface GemmResult extends ProductShape {
  direction: Direction;
  variant: GemmVariant;
  bestRate: number;
  medianRate: number;
  /** Of the probe's peak: best of best, and the median over rounds. */
  bestShare: number;
  medianShare: number;
}

/** Times all variants of both products of one shape. */
async function timeShape(
  context: Context,
  products: ProductBench,
  probe: Subject,
  shape: ProductShape,
): Promise<GemmResult[]> {
  const cases: { direction: Direction; variant: GemmVariant }[] = [];
  const subjects: Subject[] = [];
  for (const direction of ['forward', 'backward'] as const) {
    for (const variant of variantsFor(context.device)) {
      cases.push({ direction, variant });
      subjects.push(await products.subject(shape, direction, variant));
    }
  }
  const [reference, ...timings] = await takeTurns([probe, ...subjects], context.quick ? 3 : 9);
  products.dispose();
  return timings.flatMap((timing, index) => {
    const entry = cases[index];
    if (!entry || !reference) return [];
    const share = shareOf(timing, reference);
    const { bestRate, medianRate } = timing;
    return { ...shape, ...entry, bestRate, medianRate, bestShare: share.best, medianShare: share.median };
  });
}

function printTable({ device, print }: Context, results: readonly GemmResult[]): void {
  const variants = variantsFor(device);
  const keys = [...new Set(results.map(keyOf))];
  const rows = keys.map((key) => [
    key,
    ...variants.map((variant) => {
      const found = results.find((result) => keyOf(result) === key && result.variant === variant);
      return found
        ? `${fixed(found.bestRate)} ${percent(found.bestShare)} (${percent(found.medianShare)})`
        : '-';
    }),
  ]);
  print(table(['GFLOP/s, of probe: best (median)', ...variants], rows));
}

function keyOf({ tokens, in: inSize, out, dtype, direction }: GemmResult): string {
  return `${tokens} x ${inSize} -> ${out} ${dtype} ${direction}`;
}

/** Times the products; the JSON lists every variant. */
export async function gemmPart(context: Context): Promise<GemmResult[]> {
  const products = new ProductBench(context.device);
  const probe = await probeSubject(context.device);
  const shapes: ProductShape[] = TOKENS.flatMap((tokens) =>
    (context.quick ? SHAPES.slice(0, 2) : SHAPES).map(([inSize, out]): ProductShape => ({
      tokens,
      in: inSize,
      out,
      dtype: 'BF16',
    })),
  );
  if (!context.quick)
    for (const dtype of ['F16', 'F32'] as const) shapes.push({ tokens: 128, in: 576, out: 1536, dtype });
  const results: GemmResult[] = [];
  for (const shape of shapes) results.push(...(await timeShape(context, products, probe, shape)));
  printTable(context, results);
  return results;
}
