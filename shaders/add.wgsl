// Adds in place: sum += x, elementwise.
// CPU twin: none, one addition; test: src/engine/ops/add.test.ts.
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
@group(0) @binding(2) var<storage, read> x: array<vec4f>;          // [rows, cols]
@group(0) @binding(3) var<storage, read_write> sum: array<vec4f>;  // [rows, cols]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = flat_index(id, groups, WG);
  let rows = select(batch.tokens, batch.head_rows, ROWS_FROM == 1u) * params.rows_per_token;
  if (at >= rows * params.cols4) {
    return;
  }
  sum[at] += x[at];
}
