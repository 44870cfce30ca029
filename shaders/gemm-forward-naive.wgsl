// Frozen product with its LoRA term: y = x Wᵀ + bias + residual + scale * z Bᵀ, with z = dropout(x) Aᵀ.
// The plain version, one block of outputs of one row per invocation: the baseline of tests and benchmarks.
// CPU twin: src/engine/reference/gemm.ts; test: src/engine/ops/gemm.test.ts.
//#include lib/batch
//#include lib/blocks

override FORMAT: u32 = 1;  // of the weights: 0 f16, 1 bf16, 2 f32

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

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let row = (group.y * 8u + lane.y) * 1u;
  let block = group.x * 8u + lane.x;
  let in4 = params.in4;
  let out4 = params.out4;
  if (row >= active_rows() || block >= out4) { return; }
  let last_row = active_rows() - 1u;
  let x0_row = min(row + 0u, last_row) * in4;
  let c0 = min(block + 0u, out4 - 1u);
  var a00 = vec4f();
  var w_row = params.weight_first;
  for (var k = 0u; k < in4; k++) {
    let m0 = load_block(w_row + c0);
    let x0 = x[x0_row + k]; a00 = mac4(a00, x0, m0);
    w_row += params.weight_stride4;
  }
  if (params.rank4 > 0u) {
    let scale = params.scale * batch.scale;
    for (var k = 0u; k < params.rank4; k++) {
      let m0 = load_lora_b(c0, k);
      let z0 = scale * z[min(row + 0u, last_row) * params.rank4 + k]; a00 = mac4(a00, z0, m0);
    }
  }
  let bias0 = load_bias(c0);
  finish(row + 0u, block + 0u, a00, bias0);
}
