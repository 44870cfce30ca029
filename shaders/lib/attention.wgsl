// What the attention kernels share: products on 4x4 blocks, and which keys a query sees.

// acc + m * x, every term one fma in a fixed order: x weighs the columns of m.
fn mat_fma(m: mat4x4f, x: vec4f, acc: vec4f) -> vec4f {
  return fma(m[0], vec4f(x.x), fma(m[1], vec4f(x.y), fma(m[2], vec4f(x.z), fma(m[3], vec4f(x.w), acc))));
}

// acc + the dot products of x with 16 rows, four to a matrix (transposed).
fn dots16(a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f, x: vec4f, acc: mat4x4f) -> mat4x4f {
  return mat4x4f(mat_fma(a, x, acc[0]), mat_fma(b, x, acc[1]), mat_fma(c, x, acc[2]), mat_fma(d, x, acc[3]));
}

// acc + 16 rows, four to a matrix, by their weights p.
fn gather16(a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f, p: mat4x4f, acc: vec4f) -> vec4f {
  return mat_fma(d, p[3], mat_fma(c, p[2], mat_fma(b, p[1], mat_fma(a, p[0], acc))));
}

// acc + the dot products of x with the 8 rows of a and b, and of y with those of c and d (all transposed).
fn dots8(a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f, x: vec4f, y: vec4f, acc: mat4x4f) -> mat4x4f {
  return mat4x4f(mat_fma(a, x, acc[0]), mat_fma(b, x, acc[1]), mat_fma(c, y, acc[2]), mat_fma(d, y, acc[3]));
}

// acc + the 8 rows of a and b by their weights p and r.
fn gather8(a: mat4x4f, b: mat4x4f, p: vec4f, r: vec4f, acc: vec4f) -> vec4f {
  return mat_fma(b, r, mat_fma(a, p, acc));
}

// The first key that row `key` sees: the start of its sequence, or where its window begins.
fn lowest_key(start: u32, key: u32, window: u32) -> u32 {
  return max(start, key + 1u - min(key + 1u, window));
}

// Which of four rows lie in lowest..highest, both inclusive.
fn within(rows: vec4u, lowest: u32, highest: u32) -> vec4<bool> {
  return (rows >= vec4u(lowest)) & (rows <= vec4u(highest));
}

// Softmax weights from saved log-sum-exps. The argument is at most 0 where `ok`; elsewhere it could be large.
fn weights(s: vec4f, lse: vec4f, ok: vec4<bool>) -> vec4f {
  return select(vec4f(), exp(min(s - lse, vec4f())), ok);
}

const MASKED = -1e30;

// The running softmax of a query row: weights of the last 16 keys, and what shrinks the sum before them.
struct Soft { peak: f32, total: f32, shrink: f32, p: mat4x4f }

fn soften(keys: vec4u, lowest: u32, highest: u32, s: mat4x4f, before: Soft) -> Soft {
  let ok0 = within(keys, lowest, highest);
  let ok1 = within(keys + 4u, lowest, highest);
  let ok2 = within(keys + 8u, lowest, highest);
  let ok3 = within(keys + 12u, lowest, highest);
  let s0 = select(vec4f(MASKED), s[0], ok0);
  let s1 = select(vec4f(MASKED), s[1], ok1);
  let s2 = select(vec4f(MASKED), s[2], ok2);
  let s3 = select(vec4f(MASKED), s[3], ok3);
  let top = max(max(s0, s1), max(s2, s3));
  let peak = max(before.peak, max(max(top.x, top.y), max(top.z, top.w)));
  let p = mat4x4f(weights(s0, vec4f(peak), ok0), weights(s1, vec4f(peak), ok1),
                  weights(s2, vec4f(peak), ok2), weights(s3, vec4f(peak), ok3));
  let sum = (p[0] + p[1]) + (p[2] + p[3]);
  let shrink = exp(before.peak - peak);
  return Soft(peak, fma(before.total, shrink, (sum.x + sum.y) + (sum.z + sum.w)), shrink, p);
}
