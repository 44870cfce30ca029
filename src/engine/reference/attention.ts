/** CPU twin of shaders/attention*.wgsl. */

export interface AttentionShape {
  heads: number;
  kvHeads: number;
  headDim: number;
  scale: number;
  window: number | null;
}

/** Which keys each query row sees: `[first, last]`, both inclusive, by row. */
export function visibleKeys(
  segStart: ArrayLike<number>,
  window: number | null,
  keyOffset = 0,
): [number, number][] {
  return Array.from(segStart, (start, row) => {
    const key = keyOffset + row;
    return [Math.max(start, window === null ? 0 : key - window + 1), key];
  });
}

/** Softmax attention of every query over the keys it sees. */
export function attentionReference(
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  v: ArrayLike<number>,
  visible: readonly [number, number][],
  shape: AttentionShape,
): { out: Float64Array; lse: Float64Array } {
  const { heads, headDim } = shape;
  const out = new Float64Array(visible.length * heads * headDim);
  const lse = new Float64Array(visible.length * heads);
  forEachRow(q, k, visible, shape, (at, keys, scores) => {
    const peak = Math.max(...scores);
    const total = scores.reduce((sum, s) => sum + Math.exp(s - peak), 0);
    lse[at / headDim] = peak + Math.log(total);
    keys.forEach((key, i) => {
      const p = Math.exp((scores[i] ?? 0) - peak) / total;
      for (let d = 0; d < headDim; d++) out[at + d] = (out[at + d] ?? 0) + p * (v[key + d] ?? 0);
    });
  });
  return { out, lse };
}

/** The gradients with respect to q, k and v. */
export function attentionBackwardReference(
  dOut: ArrayLike<number>,
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  v: ArrayLike<number>,
  visible: readonly [number, number][],
  shape: AttentionShape,
): { dq: Float64Array; dk: Float64Array; dv: Float64Array } {
  const { headDim, scale } = shape;
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  const { lse } = attentionReference(q, k, v, visible, shape);
  forEachRow(q, k, visible, shape, (at, keys, scores) => {
    const p = scores.map((s) => Math.exp(s - (lse[at / headDim] ?? 0)));
    const dp = keys.map((key) => dot(dOut, at, v, key, headDim));
    const delta = p.reduce((sum, weight, i) => sum + weight * (dp[i] ?? 0), 0);
    keys.forEach((key, i) => {
      const weight = p[i] ?? 0;
      const ds = weight * ((dp[i] ?? 0) - delta) * scale;
      for (let d = 0; d < headDim; d++) {
        dq[at + d] = (dq[at + d] ?? 0) + ds * (k[key + d] ?? 0);
        dk[key + d] = (dk[key + d] ?? 0) + ds * (q[at + d] ?? 0);
        dv[key + d] = (dv[key + d] ?? 0) + weight * (dOut[at + d] ?? 0);
      }
    });
  });
  return { dq, dk, dv };
}

/** Calls back for every token and head: the offset of its query, the offsets of its keys, and their scores. */
function forEachRow(
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  visible: readonly [number, number][],
  { heads, kvHeads, headDim, scale }: AttentionShape,
  visit: (at: number, keys: number[], scores: number[]) => void,
): void {
  visible.forEach(([first, last], row) => {
    for (let head = 0; head < heads; head++) {
      const at = (row * heads + head) * headDim;
      const kvHead = Math.floor((head * kvHeads) / heads);
      const keys: number[] = [];
      for (let j = first; j <= last; j++) keys.push((j * kvHeads + kvHead) * headDim);
      const scores = keys.map((key) => scale * dot(q, at, k, key, headDim));
      visit(at, keys, scores);
    }
  });
}

function dot(a: ArrayLike<number>, atA: number, b: ArrayLike<number>, atB: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += (a[atA + i] ?? 0) * (b[atB + i] ?? 0);
  return sum;
}
