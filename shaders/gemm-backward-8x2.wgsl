// Gradient of the input of a frozen product with its LoRA term: dx (+)= dy W + dz A.
// Each invocation computes 8 rows by 2 blocks of 4 inputs in registers; no workgroup memory.
// CPU twin: src/engine/reference/gemm.ts; test: src/engine/ops/gemm.test.ts.
//#include lib/batch
//#include lib/blocks

override FORMAT: u32 = 1;  // of the weights: 0 f16, 1 bf16, 2 f32

struct Params {
  in4: u32,          // blocks of inputs
  out4: u32,         // blocks of outputs to go through
  weight_stride4: u32,  // blocks of outputs in the weight's buffer
  weight_first: u32,  // the first of them to go through
  dy_stride4: u32,   // blocks in a row of dy
  dy_first: u32,     // where these outputs begin in dy
  rank4: u32,        // blocks of the adapter's rank; 0 = no adapter
  accumulate: u32,   // 1: add to dx instead of setting it
  rescale: u32,      // 1: dx is first multiplied by row_scale (the head's running softmax)
  head_rows: u32,    // 1: rows are those of the head instead of the tokens
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;         // [tokens, out]
@group(0) @binding(3) var<storage, read> weight: array<vec4u>;     // [in/4][out/4] blocks
@group(0) @binding(4) var<storage, read> dz: array<vec4f>;         // [tokens, rank]
@group(0) @binding(5) var<storage, read> lora_a: array<vec4f>;     // [rank, in]
@group(0) @binding(6) var<storage, read> row_scale: array<vec4f>;  // [tokens, 4]: the factor is in w
@group(0) @binding(7) var<storage, read_write> dx: array<vec4f>;   // [tokens, in]

// Turned: column n holds the four inputs of output n.
fn load_block(index: u32) -> mat4x4f {
  if (FORMAT == 2u) {
    let at = index * 4u;
    return transpose(mat4x4f(bitcast<vec4f>(weight[at]), bitcast<vec4f>(weight[at + 1u]),
                             bitcast<vec4f>(weight[at + 2u]), bitcast<vec4f>(weight[at + 3u])));
  }
  let a = weight[index * 2u];
  let b = weight[index * 2u + 1u];
  if (FORMAT == 1u) { return transpose(unpack_bf16(a, b)); }
  return transpose(unpack_f16(a, b));
}

// Four ranks by four inputs of A.
fn load_lora_a(block: u32, k: u32) -> mat4x4f {
  let at = k * 4u * params.in4 + block;
  return mat4x4f(lora_a[at], lora_a[at + params.in4], lora_a[at + 2u * params.in4], lora_a[at + 3u * params.in4]);
}

fn finish(row: u32, block: u32, sum: vec4f) {
  if (row >= active_rows() || block >= params.in4) { return; }
  let at = row * params.in4 + block;
  var value = sum;
  if (params.accumulate == 1u) {
    var before = dx[at];
    if (params.rescale == 1u) { before *= row_scale[row].w; }
    value += before;
  }
  dx[at] = value;
}

fn active_rows() -> u32 {
  return select(batch.tokens, batch.head_rows, params.head_rows == 1u);
}

@compute @workgroup_size(8, 4)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let row = (group.y * 4u + lane.y) * 8u;
  let block = group.x * 16u + lane.x;
  let in4 = params.in4;
  let out4 = params.out4;
  if (row >= active_rows() || block >= in4) { return; }
  let last_row = active_rows() - 1u;
  let d0_row = min(row + 0u, last_row) * params.dy_stride4 + params.dy_first;
  let d1_row = min(row + 1u, last_row) * params.dy_stride4 + params.dy_first;
  let d2_row = min(row + 2u, last_row) * params.dy_stride4 + params.dy_first;
  let d3_row = min(row + 3u, last_row) * params.dy_stride4 + params.dy_first;
  let d4_row = min(row + 4u, last_row) * params.dy_stride4 + params.dy_first;
  let d5_row = min(row + 5u, last_row) * params.dy_stride4 + params.dy_first;
  let d6_row = min(row + 6u, last_row) * params.dy_stride4 + params.dy_first;
  let d7_row = min(row + 7u, last_row) * params.dy_stride4 + params.dy_first;
  let c0 = min(block + 0u, in4 - 1u);
  let c1 = min(block + 8u, in4 - 1u);
  let w0 = c0 * params.weight_stride4 + params.weight_first;
  let w1 = c1 * params.weight_stride4 + params.weight_first;
  var a00 = vec4f(); var a01 = vec4f();
  var a10 = vec4f(); var a11 = vec4f();
  var a20 = vec4f(); var a21 = vec4f();
  var a30 = vec4f(); var a31 = vec4f();
  var a40 = vec4f(); var a41 = vec4f();
  var a50 = vec4f(); var a51 = vec4f();
  var a60 = vec4f(); var a61 = vec4f();
  var a70 = vec4f(); var a71 = vec4f();
  for (var n = 0u; n < out4; n++) {
    let m0 = load_block(w0 + n);
    let m1 = load_block(w1 + n);
    let d0 = dy[d0_row + n]; a00 = mac4(a00, d0, m0); a01 = mac4(a01, d0, m1);
    let d1 = dy[d1_row + n]; a10 = mac4(a10, d1, m0); a11 = mac4(a11, d1, m1);
    let d2 = dy[d2_row + n]; a20 = mac4(a20, d2, m0); a21 = mac4(a21, d2, m1);
    let d3 = dy[d3_row + n]; a30 = mac4(a30, d3, m0); a31 = mac4(a31, d3, m1);
    let d4 = dy[d4_row + n]; a40 = mac4(a40, d4, m0); a41 = mac4(a41, d4, m1);
    let d5 = dy[d5_row + n]; a50 = mac4(a50, d5, m0); a51 = mac4(a51, d5, m1);
    let d6 = dy[d6_row + n]; a60 = mac4(a60, d6, m0); a61 = mac4(a61, d6, m1);
    let d7 = dy[d7_row + n]; a70 = mac4(a70, d7, m0); a71 = mac4(a71, d7, m1);
  }
  for (var k = 0u; k < params.rank4; k++) {
    let m0 = load_lora_a(c0, k);
    let m1 = load_lora_a(c1, k);
    let z0 = dz[min(row + 0u, last_row) * params.rank4 + k]; a00 = mac4(a00, z0, m0); a01 = mac4(a01, z0, m1);
    let z1 = dz[min(row + 1u, last_row) * params.rank4 + k]; a10 = mac4(a10, z1, m0); a11 = mac4(a11, z1, m1);
    let z2 = dz[min(row + 2u, last_row) * params.rank4 + k]; a20 = mac4(a20, z2, m0); a21 = mac4(a21, z2, m1);
    let z3 = dz[min(row + 3u, last_row) * params.rank4 + k]; a30 = mac4(a30, z3, m0); a31 = mac4(a31, z3, m1);
    let z4 = dz[min(row + 4u, last_row) * params.rank4 + k]; a40 = mac4(a40, z4, m0); a41 = mac4(a41, z4, m1);
    let z5 = dz[min(row + 5u, last_row) * params.rank4 + k]; a50 = mac4(a50, z5, m0); a51 = mac4(a51, z5, m1);
    let z6 = dz[min(row + 6u, last_row) * params.rank4 + k]; a60 = mac4(a60, z6, m0); a61 = mac4(a61, z6, m1);
    let z7 = dz[min(row + 7u, last_row) * params.rank4 + k]; a70 = mac4(a70, z7, m0); a71 = mac4(a71, z7, m1);
  }
  finish(row + 0u, block + 0u, a00); finish(row + 0u, block + 8u, a01);
  finish(row + 1u, block + 0u, a10); finish(row + 1u, block + 8u, a11);
  finish(row + 2u, block + 0u, a20); finish(row + 2u, block + 8u, a21);
  finish(row + 3u, block + 0u, a30); finish(row + 3u, block + 8u, a31);
  finish(row + 4u, block + 0u, a40); finish(row + 4u, block + 8u, a41);
  finish(row + 5u, block + 0u, a50); finish(row + 5u, block + 8u, a51);
  finish(row + 6u, block + 0u, a60); finish(row + 6u, block + 8u, a61);
  finish(row + 7u, block + 0u, a70); finish(row + 7u, block + 8u, a71);
}
