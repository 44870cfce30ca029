// Copies a run of columns between matrices: target[t][to + c] = source[t][from + c]. Splits and joins GPT-2's fused q, k, v.
// CPU twin: src/engine/reference/columns.ts; test: src/engine/ops/columns.test.ts.
//#include lib/batch

struct Params {
  cols4: u32,           // vec4s to copy in each row
  source_stride4: u32,  // vec4s in a row of the source
  source_first: u32,
  target_stride4: u32,  // vec4s in a row of the target
  target_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> source: array<vec4f>;        // [tokens, source columns]
@group(0) @binding(3) var<storage, read_write> destination: array<vec4f>;  // [tokens, target columns]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.cols4 || id.y >= batch.tokens) {
    return;
  }
  destination[id.y * params.target_stride4 + params.target_first + id.x] =
    source[id.y * params.source_stride4 + params.source_first + id.x];
}
