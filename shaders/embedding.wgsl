// Looks rows up in a packed weight: out[t] (+)= weight[ids[t]]. Ids outside this part of the weight are left to the others.
// CPU twin: src/engine/reference/embedding.ts; test: src/engine/ops/embedding.test.ts.
//#include lib/batch
//#include lib/blocks
//#include lib/column

override FORMAT: u32 = 1;          // 0 f16, 1 bf16, 2 f32
override ACCUMULATE: bool = false; // add to out (position embeddings)

struct Params {
  in4: u32,        // vec4s in a row of out
  out4: u32,       // blocks of rows in this part of the weight
  first_out: u32,  // first row of this part
  outs: u32,       // rows of this part
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> ids: array<u32>;          // [tokens]
@group(0) @binding(3) var<storage, read> weight: array<vec4u>;     // [hidden/4][rows/4] blocks
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;  // [tokens, hidden]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  if (id.x >= params.in4 || row >= batch.tokens) {
    return;
  }
  let local_row = ids[row] - params.first_out;  // wraps for smaller ids, and then is too large
  if (local_row >= params.outs) {
    return;
  }
  let block = id.x * params.out4 + local_row / 4u;
  var value: vec4f;
  if (FORMAT == 2u) {
    let at = block * 4u;
    value = column_f32(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u], local_row % 4u);
  } else if (FORMAT == 1u) {
    value = column_of(unpack_bf16(weight[block * 2u], weight[block * 2u + 1u]), local_row % 4u);
  } else {
    value = column_of(unpack_f16(weight[block * 2u], weight[block * 2u + 1u]), local_row % 4u);
  }
  let at = row * params.in4 + id.x;
  if (ACCUMULATE) { out[at] += value; } else { out[at] = value; }
}
