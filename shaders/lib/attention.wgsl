// What the attention kernels share: products on 4x4 blocks, and which keys a query sees.

// acc + m * x, every term one fma in a fixed order: x weighs the columns of m.
fn mat_fma(m: mat4x4f, x: vec4f, acc: vec4f) -> vec4f {
  return fma(m[0], vec4f(x.x), fma(m[1], vec4f(x.y), fma(m[2], vec4f(x.z), fma(m[3], vec4f(x.w), acc))));
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
