// LayerNorm, second part: y = (x - mean) * rstd * weight + bias, elementwise. Padding columns stay zero, as weight and bias are.
// CPU twin: src/engine/reference/layernorm.ts; test: src/engine/ops/layernorm.test.ts.
//#include lib/batch
//#include lib/flat

override WG: u32 = 64;
override ROWS_FROM: u32 = 0;  // 0: batch.tokens, 1: batch.head_rows

struct Params {
  cols4: u32,           // vec4s in a row
  rows_per_token: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;        // [rows, cols]
@group(0) @binding(3) var<storage, read> weight: array<vec4f>;   // [cols]
@group(0) @binding(4) var<storage, read> bias: array<vec4f>;     // [cols]
@group(0) @binding(5) var<storage, read> mean: array<f32>;       // [rows]
@group(0) @binding(6) var<storage, read> rstd: array<f32>;       // [rows]
@group(0) @binding(7) var<storage, read_write> y: array<vec4f>;  // [rows, cols]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = flat_index(id, groups, WG);
  let row = at / params.cols4;
  if (row >= select(batch.tokens, batch.head_rows, ROWS_FROM == 1u) * params.rows_per_token) {
    return;
  }
  let column = at - row * params.cols4;
  y[at] = fma((x[at] - mean[row]) * rstd[row], weight[column], bias[column]);
}
