// The adapter's part of the input gradient under dropout: dx += mask * (dz A), one vec4 per invocation.
// Without dropout it is an epilogue of gemm-backward-*.wgsl.
// CPU twin: src/engine/reference/lora.ts; test: src/engine/ops/lora.test.ts.
//#include lib/batch
//#include lib/blocks
//#include lib/dropout

override IN4: u32 = 1;    // vec4s in a row of dx
override RANK4: u32 = 1;  // blocks of the rank
override HEAD_ROWS: bool = false;

struct Params {
  layer_id: u32,    // dropout: which linear layer this is
  threshold: u32,   // dropout: words below it are dropped
  keep_scale: f32,  // dropout: 1 / (1 - p)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> dz: array<vec4f>;        // [tokens, rank]
@group(0) @binding(3) var<storage, read> lora_a: array<vec4f>;    // [rank, in]
@group(0) @binding(4) var<storage, read_write> dx: array<vec4f>;  // [tokens, in]

fn active_rows() -> u32 {
  if (HEAD_ROWS) { return batch.head_rows; }
  return batch.tokens;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  if (id.x >= IN4 || row >= active_rows()) {
    return;
  }
  var sum = vec4f();
  for (var k = 0u; k < RANK4; k++) {
    let at = k * 4u * IN4 + id.x;
    let a = mat4x4f(lora_a[at], lora_a[at + IN4], lora_a[at + 2u * IN4], lora_a[at + 3u * IN4]);
    sum = mac4(sum, dz[row * RANK4 + k], a);
  }
  let key = dropout_key(batch.seed, batch.step, batch.micro, params.layer_id);
  dx[row * IN4 + id.x] += sum * dropout_mask(key, (row * IN4 + id.x) * 4u, params.threshold, params.keep_scale);
}
