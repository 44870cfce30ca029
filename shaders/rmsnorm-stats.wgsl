// RMSNorm, first part: rstd = 1 / sqrt(mean(x^2) + eps), one invocation per row, summed in a fixed order.
// CPU twin: src/engine/reference/rmsnorm.ts; test: src/engine/ops/rmsnorm.test.ts.
//#include lib/batch

override WG: u32 = 32;
override ROWS_FROM: u32 = 0;  // 0: batch.tokens, 1: batch.head_rows

struct Params {
  cols: u32,            // true columns
  cols4: u32,           // vec4s in a row
  rows_per_token: u32,
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;         // [rows, cols]
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;  // [rows]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= select(batch.tokens, batch.head_rows, ROWS_FROM == 1u) * params.rows_per_token) {
    return;
  }
  let base = row * params.cols4;
  var sum = vec4f();
  for (var i = 0u; i < params.cols4; i++) {
    let v = x[base + i];
    sum = fma(v, v, sum);
  }
  let total = (sum.x + sum.y) + (sum.z + sum.w);
  rstd[row] = 1.0 / sqrt(total / f32(params.cols) + params.eps);
}
