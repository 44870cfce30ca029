// Frozen product with its LoRA term: y = x Wᵀ + bias + residual + scale * z Bᵀ, with z = dropout(x) Aᵀ.
// Each invocation computes 16 rows by a block of 4 outputs in registers. All invocations of a workgroup share the rows, so each
// loads some of them and hands them to the others of its subgroup; no workgroup memory.
// CPU twin: src/engine/reference/gemm.ts; test: src/engine/ops/gemm.test.ts.
//#enable subgroups
//#include lib/batch
//#include lib/blocks

override FORMAT: u32 = 1;  // of the weights: 0 f16, 1 bf16, 2 f32
override LANES: u32 = 4;   // that hand rows to each other: 4, 8 or 16, at most those of the smallest subgroup
override WIDTH: u32 = 32;  // invocations of a workgroup

struct Params {
  in4: u32,           // blocks of inputs
  out4: u32,          // blocks of outputs to compute
  weight_stride4: u32,  // blocks of outputs in the weight's buffer
  weight_first: u32,  // the first of them to compute
  out_first: u32,     // its block among all outputs: where bias and B begin
  y_stride4: u32,     // blocks in a row of y
  y_first: u32,       // where these outputs begin in y
  rank4: u32,         // blocks of the adapter's rank; 0 = no adapter
  scale: f32,         // of the adapter: alpha / rank
  has_bias: u32,
  has_residual: u32,
  head_rows: u32,     // 1: rows are those of the head instead of the tokens
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;         // [tokens, in]
@group(0) @binding(3) var<storage, read> weight: array<vec4u>;    // [in/4][out/4] blocks
@group(0) @binding(4) var<storage, read> bias: array<vec4f>;      // [out]
@group(0) @binding(5) var<storage, read> residual: array<vec4f>;  // [tokens, out]
@group(0) @binding(6) var<storage, read> z: array<vec4f>;         // [tokens, rank]
@group(0) @binding(7) var<storage, read> lora_b: array<vec4f>;    // [out, rank]
@group(0) @binding(8) var<storage, read_write> y: array<vec4f>;   // [tokens, out]

fn load_block(index: u32) -> mat4x4f {
  if (FORMAT == 2u) {
    let at = index * 4u;
    return mat4x4f(bitcast<vec4f>(weight[at]), bitcast<vec4f>(weight[at + 1u]),
                   bitcast<vec4f>(weight[at + 2u]), bitcast<vec4f>(weight[at + 3u]));
  }
  let a = weight[index * 2u];
  let b = weight[index * 2u + 1u];
  if (FORMAT == 1u) { return unpack_bf16(a, b); }
  return unpack_f16(a, b);
}

// Four outputs by four ranks of B, turned so that column k holds the outputs of rank k.
fn load_lora_b(block: u32, k: u32) -> mat4x4f {
  let at = (params.out_first + block) * 4u * params.rank4 + k;
  return transpose(mat4x4f(lora_b[at], lora_b[at + params.rank4], lora_b[at + 2u * params.rank4], lora_b[at + 3u * params.rank4]));
}

fn load_bias(block: u32) -> vec4f {
  if (params.has_bias == 0u) { return vec4f(); }
  return bias[params.out_first + block];
}

// The rows that this invocation loads for its subgroup.
fn load_x(at: vec4u) -> mat4x4f {
  let first = x[at.x];
  if (LANES == 16u) { return mat4x4f(first, first, first, first); }
  let second = x[at.y];
  if (LANES == 8u) { return mat4x4f(first, second, first, second); }
  return mat4x4f(first, second, x[at.z], x[at.w]);
}

fn load_z(at: vec4u) -> mat4x4f {
  let first = z[at.x];
  if (LANES == 16u) { return mat4x4f(first, first, first, first); }
  let second = z[at.y];
  if (LANES == 8u) { return mat4x4f(first, second, first, second); }
  return mat4x4f(first, second, z[at.z], z[at.w]);
}

fn finish(row: u32, block: u32, sum: vec4f, block_bias: vec4f) {
  if (row >= active_rows() || block >= params.out4) { return; }
  let at = row * params.y_stride4 + params.y_first + block;
  var value = sum + block_bias;
  if (params.has_residual == 1u) { value += residual[at]; }
  y[at] = value;
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
  let c = min(block, out4 - 1u);
  let x_at = own * in4;
  var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
  var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
  var a8 = vec4f(); var a9 = vec4f(); var a10 = vec4f(); var a11 = vec4f();
  var a12 = vec4f(); var a13 = vec4f(); var a14 = vec4f(); var a15 = vec4f();
  var w_row = params.weight_first;
  for (var k = 0u; k < in4; k++) {
    let m = load_block(w_row + c);
    let x_own = load_x(x_at + k);
    a0 = mac4(a0, subgroupShuffle(x_own[0u / LANES], 0u % LANES), m); a1 = mac4(a1, subgroupShuffle(x_own[1u / LANES], 1u % LANES), m);
    a2 = mac4(a2, subgroupShuffle(x_own[2u / LANES], 2u % LANES), m); a3 = mac4(a3, subgroupShuffle(x_own[3u / LANES], 3u % LANES), m);
    a4 = mac4(a4, subgroupShuffle(x_own[4u / LANES], 4u % LANES), m); a5 = mac4(a5, subgroupShuffle(x_own[5u / LANES], 5u % LANES), m);
    a6 = mac4(a6, subgroupShuffle(x_own[6u / LANES], 6u % LANES), m); a7 = mac4(a7, subgroupShuffle(x_own[7u / LANES], 7u % LANES), m);
    a8 = mac4(a8, subgroupShuffle(x_own[8u / LANES], 8u % LANES), m); a9 = mac4(a9, subgroupShuffle(x_own[9u / LANES], 9u % LANES), m);
    a10 = mac4(a10, subgroupShuffle(x_own[10u / LANES], 10u % LANES), m); a11 = mac4(a11, subgroupShuffle(x_own[11u / LANES], 11u % LANES), m);
    a12 = mac4(a12, subgroupShuffle(x_own[12u / LANES], 12u % LANES), m); a13 = mac4(a13, subgroupShuffle(x_own[13u / LANES], 13u % LANES), m);
    a14 = mac4(a14, subgroupShuffle(x_own[14u / LANES], 14u % LANES), m); a15 = mac4(a15, subgroupShuffle(x_own[15u / LANES], 15u % LANES), m);
    w_row += params.weight_stride4;
  }
  if (params.rank4 > 0u) {
    let scale = params.scale * batch.scale;
    for (var k = 0u; k < params.rank4; k++) {
      let m = load_lora_b(c, k);
      let z_own = scale * load_z(own * params.rank4 + k);
      a0 = mac4(a0, subgroupShuffle(z_own[0u / LANES], 0u % LANES), m); a1 = mac4(a1, subgroupShuffle(z_own[1u / LANES], 1u % LANES), m);
      a2 = mac4(a2, subgroupShuffle(z_own[2u / LANES], 2u % LANES), m); a3 = mac4(a3, subgroupShuffle(z_own[3u / LANES], 3u % LANES), m);
      a4 = mac4(a4, subgroupShuffle(z_own[4u / LANES], 4u % LANES), m); a5 = mac4(a5, subgroupShuffle(z_own[5u / LANES], 5u % LANES), m);
      a6 = mac4(a6, subgroupShuffle(z_own[6u / LANES], 6u % LANES), m); a7 = mac4(a7, subgroupShuffle(z_own[7u / LANES], 7u % LANES), m);
      a8 = mac4(a8, subgroupShuffle(z_own[8u / LANES], 8u % LANES), m); a9 = mac4(a9, subgroupShuffle(z_own[9u / LANES], 9u % LANES), m);
      a10 = mac4(a10, subgroupShuffle(z_own[10u / LANES], 10u % LANES), m); a11 = mac4(a11, subgroupShuffle(z_own[11u / LANES], 11u % LANES), m);
      a12 = mac4(a12, subgroupShuffle(z_own[12u / LANES], 12u % LANES), m); a13 = mac4(a13, subgroupShuffle(z_own[13u / LANES], 13u % LANES), m);
      a14 = mac4(a14, subgroupShuffle(z_own[14u / LANES], 14u % LANES), m); a15 = mac4(a15, subgroupShuffle(z_own[15u / LANES], 15u % LANES), m);
    }
  }
  let block_bias = load_bias(c);
  finish(row + 0u, block, a0, block_bias); finish(row + 1u, block, a1, block_bias);
  finish(row + 2u, block, a2, block_bias); finish(row + 3u, block, a3, block_bias);
  finish(row + 4u, block, a4, block_bias); finish(row + 5u, block, a5, block_bias);
  finish(row + 6u, block, a6, block_bias); finish(row + 7u, block, a7, block_bias);
  finish(row + 8u, block, a8, block_bias); finish(row + 9u, block, a9, block_bias);
  finish(row + 10u, block, a10, block_bias); finish(row + 11u, block, a11, block_bias);
  finish(row + 12u, block, a12, block_bias); finish(row + 13u, block, a13, block_bias);
  finish(row + 14u, block, a14, block_bias); finish(row + 15u, block, a15, block_bias);
}
