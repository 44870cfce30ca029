// RMSNorm backward, first part: dot = sum(dy * weight * x) of each row, one invocation per row, in a fixed order.
// CPU twin: src/engine/reference/rmsnorm.ts; test: src/engine/ops/rmsnorm.test.ts.
//#include lib/batch

override WG: u32 = 32;
override ROWS_FROM: u32 = 0;  // 0: batch.tokens, 1: batch.head_rows

struct Params {
  cols4: u32,           // vec4s in a row
  rows_per_token: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;            // [rows, cols]
@group(0) @binding(3) var<storage, read> x: array<vec4f>;             // [rows, cols]
@group(0) @binding(4) var<storage, read> weight: array<vec4f>;        // [cols]
@group(0) @binding(5) var<storage, read_write> row_dot: array<f32>;   // [rows]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= select(batch.tokens, batch.head_rows, ROWS_FROM == 1u) * params.rows_per_token) {
    return;
  }
  let base = row * params.cols4;
  var sum = vec4f();
  for (var i = 0u; i < params.cols4; i++) {
    sum = fma(dy[base + i] * weight[i], x[base + i], sum);
  }
  row_dot[row] = (sum.x + sum.y) + (sum.z + sum.w);
}
