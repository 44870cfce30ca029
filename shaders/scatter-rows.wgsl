// Puts the head's rows back among all tokens: out[rows[i]] = x[i]. Rows of no trained target keep what `out` held (zero).
// CPU twin: src/engine/reference/head.ts; test: src/engine/ops/head.test.ts.
//#include lib/batch

struct Params {
  cols4: u32,  // vec4s in a row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;          // [head rows, hidden]
@group(0) @binding(3) var<storage, read> rows: array<u32>;         // [head rows]
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;  // [tokens, hidden]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.cols4 || id.y >= batch.head_rows) {
    return;
  }
  out[rows[id.y] * params.cols4 + id.x] = x[id.y * params.cols4 + id.x];
}
