// The adapter's narrow side: z = dropout(x) Aᵀ. Each invocation computes 4 rows by 4 ranks.
// CPU twin: src/engine/reference/lora.ts; test: src/engine/ops/lora.test.ts.
//#include lib/batch
//#include lib/blocks
//#include lib/dropout

override IN4: u32 = 1;    // vec4s in a row of x
override RANK4: u32 = 1;  // blocks of the rank
override DROPOUT: bool = false;
override HEAD_ROWS: bool = false;

struct Params {
  layer_id: u32,      // dropout: which linear layer this is
  threshold: u32,   // dropout: words below it are dropped
  keep_scale: f32,  // dropout: 1 / (1 - p)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;        // [tokens, in]
@group(0) @binding(3) var<storage, read> lora_a: array<vec4f>;   // [rank, in]
@group(0) @binding(4) var<storage, read_write> z: array<vec4f>;  // [tokens, rank]

fn load_x(row: u32, k: u32, key: u32) -> vec4f {
  let value = x[row * IN4 + k];
  if (DROPOUT) {
    return value * dropout_mask(key, (row * IN4 + k) * 4u, params.threshold, params.keep_scale);
  }
  return value;
}

fn active_rows() -> u32 {
  if (HEAD_ROWS) { return batch.head_rows; }
  return batch.tokens;
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x * 4u;
  if (row >= active_rows()) {
    return;
  }
  let last = active_rows() - 1u;
  let r1 = min(row + 1u, last);
  let r2 = min(row + 2u, last);
  let r3 = min(row + 3u, last);
  let key = dropout_key(batch.seed, batch.step, batch.micro, params.layer_id);
  let a0 = id.y * 4u * IN4;
  var z0 = vec4f();
  var z1 = vec4f();
  var z2 = vec4f();
  var z3 = vec4f();
  for (var k = 0u; k < IN4; k++) {
    let at = a0 + k;
    let m = transpose(mat4x4f(lora_a[at], lora_a[at + IN4], lora_a[at + 2u * IN4], lora_a[at + 3u * IN4]));
    z0 = mac4(z0, load_x(row, k, key), m);
    z1 = mac4(z1, load_x(r1, k, key), m);
    z2 = mac4(z2, load_x(r2, k, key), m);
    z3 = mac4(z3, load_x(r3, k, key), m);
  }
  z[row * RANK4 + id.y] = z0;
  if (row + 1u <= last) { z[r1 * RANK4 + id.y] = z1; }
  if (row + 2u <= last) { z[r2 * RANK4 + id.y] = z2; }
  if (row + 3u <= last) { z[r3 * RANK4 + id.y] = z3; }
}
