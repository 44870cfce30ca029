// LayerNorm, first part: mean and rstd = 1 / sqrt(variance + eps), one invocation per row, summed in a fixed order.
// The variance is taken around the mean in a second pass; padding columns count in neither.
// CPU twin: src/engine/reference/layernorm.ts; test: src/engine/ops/layernorm.test.ts.
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
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;  // [rows]
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;  // [rows]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= select(batch.tokens, batch.head_rows, ROWS_FROM == 1u) * params.rows_per_token) {
    return;
  }
  let base = row * params.cols4;
  var sum = vec4f();
  for (var i = 0u; i < params.cols4; i++) {
    sum += x[base + i];
  }
  let center = ((sum.x + sum.y) + (sum.z + sum.w)) / f32(params.cols);
  var squares = vec4f();
  for (var i = 0u; i < params.cols4; i++) {
    let column = vec4u(i * 4u) + vec4u(0u, 1u, 2u, 3u);
    let d = select(vec4f(), x[base + i] - center, column < vec4u(params.cols));
    squares = fma(d, d, squares);
  }
  let variance = ((squares.x + squares.y) + (squares.z + squares.w)) / f32(params.cols);
  mean[row] = center;
  rstd[row] = 1.0 / sqrt(variance + params.eps);
}
