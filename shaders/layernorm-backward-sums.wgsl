// LayerNorm backward, first part: the sums of g and of g * xhat over each row, with g = dy * weight and
// xhat = (x - mean) * rstd; one invocation per row, in a fixed order.
// CPU twin: src/engine/reference/layernorm.ts; test: src/engine/ops/layernorm.test.ts.
//#include lib/batch

override WG: u32 = 32;
override ROWS_FROM: u32 = 0;  // 0: batch.tokens, 1: batch.head_rows

struct Params {
  cols4: u32,           // vec4s in a row
  rows_per_token: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;              // [rows, cols]
@group(0) @binding(3) var<storage, read> x: array<vec4f>;               // [rows, cols]
@group(0) @binding(4) var<storage, read> weight: array<vec4f>;          // [cols]
@group(0) @binding(5) var<storage, read> mean: array<f32>;              // [rows]
@group(0) @binding(6) var<storage, read> rstd: array<f32>;              // [rows]
@group(0) @binding(7) var<storage, read_write> row_sums: array<vec2f>;  // [rows]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= select(batch.tokens, batch.head_rows, ROWS_FROM == 1u) * params.rows_per_token) {
    return;
  }
  let base = row * params.cols4;
  let center = mean[row];
  let r = rstd[row];
  var plain = vec4f();
  var scaled = vec4f();
  for (var i = 0u; i < params.cols4; i++) {
    let g = dy[base + i] * weight[i];
    plain += g;
    scaled = fma(g, (x[base + i] - center) * r, scaled);
  }
  row_sums[row] = vec2f((plain.x + plain.y) + (plain.z + plain.w), (scaled.x + scaled.y) + (scaled.z + scaled.w));
}
