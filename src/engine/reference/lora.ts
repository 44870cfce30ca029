/** CPU twins of shaders/lora-*.wgsl: plain loops, float64 sums. */
import { gemmBackwardReference, gemmForwardReference } from './gemm.ts';

/** `z = x Aᵀ`: x [rows, in], a [rank, in]. Dropout is applied to x by the caller. */
export function loraDownReference(
  x: ArrayLike<number>,
  a: ArrayLike<number>,
  rows: number,
  inSize: number,
  rank: number,
): Float64Array {
  return gemmForwardReference(x, a, rows, inSize, rank);
}

/** `dz = scale dy B`: dy [rows, out], b [out, rank]. */
export function loraUpBackwardReference(
  dy: ArrayLike<number>,
  b: ArrayLike<number>,
  rows: number,
  out: number,
  rank: number,
  scale: number,
): Float64Array {
  return gemmBackwardReference(dy, b, rows, rank, out).map((value) => value * scale);
}

/** `scale Σ_t p[t]ᵀ q[t]`: p [rows, P], q [rows, Q], to [P, Q]. */
export function loraGradientReference(
  p: ArrayLike<number>,
  q: ArrayLike<number>,
  rows: number,
  P: number,
  Q: number,
  scale: number,
): Float64Array {
  const c = new Float64Array(P * Q);
  for (let t = 0; t < rows; t++) {
    for (let i = 0; i < P; i++) {
      for (let j = 0; j < Q; j++)
        c[i * Q + j] = (c[i * Q + j] ?? 0) + scale * (p[t * P + i] ?? 0) * (q[t * Q + j] ?? 0);
    }
  }
  return c;
}
