// LayerNorm backward, second part: dx = rstd (g - (sum g + xhat sum(g xhat)) / cols), with g = dy * weight and
// xhat = (x - mean) * rstd; added to dx or stored. Padding columns get zero.
// CPU twin: src/engine/reference/layernorm.ts; test: src/engine/ops/layernorm.test.ts.
//#include lib/batch
//#include lib/flat

override WG: u32 = 64;
override ROWS_FROM: u32 = 0;   // 0: batch.tokens, 1: batch.head_rows
override ACCUMULATE: u32 = 0;  // 1: add to what dx holds

struct Params {
  cols: u32,            // true columns
  cols4: u32,           // vec4s in a row
  rows_per_token: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;        // [rows, cols]
@group(0) @binding(3) var<storage, read> x: array<vec4f>;         // [rows, cols]
@group(0) @binding(4) var<storage, read> weight: array<vec4f>;    // [cols]
@group(0) @binding(5) var<storage, read> mean: array<f32>;        // [rows]
@group(0) @binding(6) var<storage, read> rstd: array<f32>;        // [rows]
@group(0) @binding(7) var<storage, read> row_sums: array<vec2f>;  // [rows]
@group(0) @binding(8) var<storage, read_write> dx: array<vec4f>;  // [rows, cols]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = flat_index(id, groups, WG);
  let row = at / params.cols4;
  if (row >= select(batch.tokens, batch.head_rows, ROWS_FROM == 1u) * params.rows_per_token) {
    return;
  }
  let column4 = at - row * params.cols4;
  let r = rstd[row];
  let sums = row_sums[row] / f32(params.cols);
  let xhat = (x[at] - mean[row]) * r;
  let column = vec4u(column4 * 4u) + vec4u(0u, 1u, 2u, 3u);
  var d = select(vec4f(), r * (dy[at] * weight[column4] - sums.x - xhat * sums.y), column < vec4u(params.cols));
  if (ACCUMULATE == 1u) {
    d += dx[at];
  }
  dx[at] = d;
}
