// Gradient of a LoRA factor: c += scale * Σ_t p[t]ᵀ dropout(q[t]); for B: p = dy, q = z; for A: p = dz, q = x.
// Each invocation computes a block of 4 by 4 over a slice of the tokens (split-K: one slice per z of the grid);
// with several slices the sums go to `partial` and lora-gradient-reduce.wgsl adds them in order.
// CPU twin: src/engine/reference/lora.ts; test: src/engine/ops/lora.test.ts.
//#include lib/batch
//#include lib/dropout

override P4: u32 = 1;       // vec4s in a row of p
override Q4: u32 = 1;       // vec4s in a row of q
override SLICE: u32 = 64;   // tokens per slice
override SPLIT: bool = false;
override DROPOUT: bool = false;
override HEAD_ROWS: bool = false;

struct Params {
  scale: f32,
  layer_id: u32,      // dropout: which linear layer this is
  threshold: u32,   // dropout: words below it are dropped
  keep_scale: f32,  // dropout: 1 / (1 - p)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> p: array<vec4f>;        // [tokens, P]
@group(0) @binding(3) var<storage, read> q: array<vec4f>;        // [tokens, Q]
@group(0) @binding(4) var<storage, read_write> c: array<vec4f>;  // [P, Q]: the gradient, or [slices, P, Q] partial sums

fn load_q(row: u32, column: u32, key: u32) -> vec4f {
  let value = q[row * Q4 + column];
  if (DROPOUT) {
    return value * dropout_mask(key, (row * Q4 + column) * 4u, params.threshold, params.keep_scale);
  }
  return value;
}

fn active_rows() -> u32 {
  if (HEAD_ROWS) { return batch.head_rows; }
  return batch.tokens;
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= Q4 || id.y >= P4) {
    return;
  }
  let end = min((id.z + 1u) * SLICE, active_rows());
  let key = dropout_key(batch.seed, batch.step, batch.micro, params.layer_id);
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  for (var t = id.z * SLICE; t < end; t++) {
    let a = p[t * P4 + id.y];
    let b = load_q(t, id.x, key);
    c0 = fma(vec4f(a.x), b, c0);
    c1 = fma(vec4f(a.y), b, c1);
    c2 = fma(vec4f(a.z), b, c2);
    c3 = fma(vec4f(a.w), b, c3);
  }
  if (SPLIT) {
    let at = (id.z * P4 + id.y) * 4u * Q4 + id.x;
    c[at] = c0;
    c[at + Q4] = c1;
    c[at + 2u * Q4] = c2;
    c[at + 3u * Q4] = c3;
  } else {
    let scale = params.scale * batch.scale;
    let at = id.y * 4u * Q4 + id.x;
    c[at] += scale * c0;
    c[at + Q4] += scale * c1;
    c[at + 2u * Q4] += scale * c2;
    c[at + 3u * Q4] += scale * c3;
  }
}
