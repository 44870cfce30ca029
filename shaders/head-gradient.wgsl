// Gradient of the head's input: dh = c * (W[target] - (Σ_v exp(logit_v - max) W_v) / sum), with c = dLoss/dlogprob.
// The sum arrives in dh itself; rows whose target lies in another part of the weight are left to that part.
// CPU twin: src/engine/reference/head.ts; test: src/engine/ops/head.test.ts.
//#include lib/batch
//#include lib/blocks
//#include lib/column

override FORMAT: u32 = 1;  // 0 f16, 1 bf16, 2 f32

struct Params {
  in4: u32,        // vec4s in a row of dh
  out4: u32,       // blocks of rows in this part of the weight
  first_out: u32,  // first row of this part
  outs: u32,       // rows of this part
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> targets: array<u32>;       // [head rows]
@group(0) @binding(3) var<storage, read> coefficient: array<f32>;   // [head rows]
@group(0) @binding(4) var<storage, read> state: array<vec4f>;       // [head rows, 4]
@group(0) @binding(5) var<storage, read> weight: array<vec4u>;      // [hidden/4][vocab/4] blocks
@group(0) @binding(6) var<storage, read_write> dh: array<vec4f>;    // [head rows, hidden]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  if (id.x >= params.in4 || row >= batch.head_rows) {
    return;
  }
  let local_row = targets[row] - params.first_out;  // wraps for smaller ids, and then is too large
  if (local_row >= params.outs) {
    return;
  }
  let block = id.x * params.out4 + local_row / 4u;
  var target_weight: vec4f;
  if (FORMAT == 2u) {
    let at = block * 4u;
    target_weight = column_f32(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u], local_row % 4u);
  } else if (FORMAT == 1u) {
    target_weight = column_of(unpack_bf16(weight[block * 2u], weight[block * 2u + 1u]), local_row % 4u);
  } else {
    target_weight = column_of(unpack_f16(weight[block * 2u], weight[block * 2u + 1u]), local_row % 4u);
  }
  let at = row * params.in4 + id.x;
  dh[at] = coefficient[row] * (target_weight - dh[at] / state[row].y);
}
