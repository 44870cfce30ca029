// Gradient of the input of a frozen product with its LoRA term: dx (+)= dy W + dz A.
// Each invocation computes 16 rows by a block of 4 inputs in registers. All invocations of a workgroup share the rows, so each
// loads some of them and hands them to the others of its subgroup; no workgroup memory.
// CPU twin: src/engine/reference/gemm.ts; test: src/engine/ops/gemm.test.ts.
//#enable subgroups
//#include lib/batch
//#include lib/blocks

override FORMAT: u32 = 1;  // of the weights: 0 f16, 1 bf16, 2 f32
override LANES: u32 = 4;   // that hand rows to each other: 4, 8 or 16, at most those of the smallest subgroup
override WIDTH: u32 = 32;  // invocations of a workgroup

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

// The rows that this invocation loads for its subgroup.
fn load_dy(at: vec4u) -> mat4x4f {
  let first = dy[at.x];
  if (LANES == 16u) { return mat4x4f(first, first, first, first); }
  let second = dy[at.y];
  if (LANES == 8u) { return mat4x4f(first, second, first, second); }
  return mat4x4f(first, second, dy[at.z], dy[at.w]);
}

fn load_dz(at: vec4u) -> mat4x4f {
  let first = dz[at.x];
  if (LANES == 16u) { return mat4x4f(first, first, first, first); }
  let second = dz[at.y];
  if (LANES == 8u) { return mat4x4f(first, second, first, second); }
  return mat4x4f(first, second, dz[at.z], dz[at.w]);
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

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32,
        @builtin(subgroup_invocation_id) lane: u32) {
  let row = group.x * 16u;
  let block = group.y * WIDTH + index;
  let in4 = params.in4;
  let out4 = params.out4;
  if (row >= active_rows()) { return; }
  let last_row = active_rows() - 1u;
  let own = min(vec4u(row + lane % LANES) + LANES * vec4u(0u, 1u, 2u, 3u), vec4u(last_row));
  let c = min(block, in4 - 1u);
  let dy_at = own * params.dy_stride4 + params.dy_first;
  let w = c * params.weight_stride4 + params.weight_first;
  var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
  var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
  var a8 = vec4f(); var a9 = vec4f(); var a10 = vec4f(); var a11 = vec4f();
  var a12 = vec4f(); var a13 = vec4f(); var a14 = vec4f(); var a15 = vec4f();
  for (var n = 0u; n < out4; n++) {
    let m = load_block(w + n);
    let dy_own = load_dy(dy_at + n);
    a0 = mac4(a0, subgroupShuffle(dy_own[0u / LANES], 0u % LANES), m); a1 = mac4(a1, subgroupShuffle(dy_own[1u / LANES], 1u % LANES), m);
    a2 = mac4(a2, subgroupShuffle(dy_own[2u / LANES], 2u % LANES), m); a3 = mac4(a3, subgroupShuffle(dy_own[3u / LANES], 3u % LANES), m);
    a4 = mac4(a4, subgroupShuffle(dy_own[4u / LANES], 4u % LANES), m); a5 = mac4(a5, subgroupShuffle(dy_own[5u / LANES], 5u % LANES), m);
    a6 = mac4(a6, subgroupShuffle(dy_own[6u / LANES], 6u % LANES), m); a7 = mac4(a7, subgroupShuffle(dy_own[7u / LANES], 7u % LANES), m);
    a8 = mac4(a8, subgroupShuffle(dy_own[8u / LANES], 8u % LANES), m); a9 = mac4(a9, subgroupShuffle(dy_own[9u / LANES], 9u % LANES), m);
    a10 = mac4(a10, subgroupShuffle(dy_own[10u / LANES], 10u % LANES), m); a11 = mac4(a11, subgroupShuffle(dy_own[11u / LANES], 11u % LANES), m);
    a12 = mac4(a12, subgroupShuffle(dy_own[12u / LANES], 12u % LANES), m); a13 = mac4(a13, subgroupShuffle(dy_own[13u / LANES], 13u % LANES), m);
    a14 = mac4(a14, subgroupShuffle(dy_own[14u / LANES], 14u % LANES), m); a15 = mac4(a15, subgroupShuffle(dy_own[15u / LANES], 15u % LANES), m);
  }
  for (var k = 0u; k < params.rank4; k++) {
    let m = load_lora_a(c, k);
    let dz_own = load_dz(own * params.rank4 + k);
    a0 = mac4(a0, subgroupShuffle(dz_own[0u / LANES], 0u % LANES), m); a1 = mac4(a1, subgroupShuffle(dz_own[1u / LANES], 1u % LANES), m);
    a2 = mac4(a2, subgroupShuffle(dz_own[2u / LANES], 2u % LANES), m); a3 = mac4(a3, subgroupShuffle(dz_own[3u / LANES], 3u % LANES), m);
    a4 = mac4(a4, subgroupShuffle(dz_own[4u / LANES], 4u % LANES), m); a5 = mac4(a5, subgroupShuffle(dz_own[5u / LANES], 5u % LANES), m);
    a6 = mac4(a6, subgroupShuffle(dz_own[6u / LANES], 6u % LANES), m); a7 = mac4(a7, subgroupShuffle(dz_own[7u / LANES], 7u % LANES), m);
    a8 = mac4(a8, subgroupShuffle(dz_own[8u / LANES], 8u % LANES), m); a9 = mac4(a9, subgroupShuffle(dz_own[9u / LANES], 9u % LANES), m);
    a10 = mac4(a10, subgroupShuffle(dz_own[10u / LANES], 10u % LANES), m); a11 = mac4(a11, subgroupShuffle(dz_own[11u / LANES], 11u % LANES), m);
    a12 = mac4(a12, subgroupShuffle(dz_own[12u / LANES], 12u % LANES), m); a13 = mac4(a13, subgroupShuffle(dz_own[13u / LANES], 13u % LANES), m);
    a14 = mac4(a14, subgroupShuffle(dz_own[14u / LANES], 14u % LANES), m); a15 = mac4(a15, subgroupShuffle(dz_own[15u / LANES], 15u % LANES), m);
  }
  finish(row + 0u, block, a0); finish(row + 1u, block, a1);
  finish(row + 2u, block, a2); finish(row + 3u, block, a3);
  finish(row + 4u, block, a4); finish(row + 5u, block, a5);
  finish(row + 6u, block, a6); finish(row + 7u, block, a7);
  finish(row + 8u, block, a8); finish(row + 9u, block, a9);
  finish(row + 10u, block, a10); finish(row + 11u, block, a11);
  finish(row + 12u, block, a12); finish(row + 13u, block, a13);
  finish(row + 14u, block, a14); finish(row + 15u, block, a15);
}
