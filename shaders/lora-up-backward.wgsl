// Gradient on the adapter's narrow side: dz = scale * dy B. Each invocation computes 4 rows by 4 ranks.
// CPU twin: src/engine/reference/lora.ts; test: src/engine/ops/lora.test.ts.
//#include lib/batch
//#include lib/blocks

override OUT4: u32 = 1;    // vec4s of dy that this module covers
override RANK4: u32 = 1;   // blocks of the rank
override ACCUMULATE: bool = false;
override HEAD_ROWS: bool = false;

struct Params {
  scale: f32,        // alpha / rank
  first_block: u32,  // first block of B's rows (and none of dy's: dy holds this part alone)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;        // [tokens, out]
@group(0) @binding(3) var<storage, read> lora_b: array<vec4f>;    // [out, rank]
@group(0) @binding(4) var<storage, read_write> dz: array<vec4f>;  // [tokens, rank]

fn active_rows() -> u32 {
  if (HEAD_ROWS) { return batch.head_rows; }
  return batch.tokens;
}

fn store(row: u32, rank: u32, sum: vec4f) {
  if (row >= active_rows()) { return; }
  let at = row * RANK4 + rank;
  let value = params.scale * batch.scale * sum;
  if (ACCUMULATE) { dz[at] += value; } else { dz[at] = value; }
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x * 4u;
  if (row >= active_rows()) {
    return;
  }
  let last = active_rows() - 1u;
  let d0 = row * OUT4;
  let d1 = min(row + 1u, last) * OUT4;
  let d2 = min(row + 2u, last) * OUT4;
  let d3 = min(row + 3u, last) * OUT4;
  var z0 = vec4f();
  var z1 = vec4f();
  var z2 = vec4f();
  var z3 = vec4f();
  for (var n = 0u; n < OUT4; n++) {
    let at = (params.first_block + n) * 4u * RANK4 + id.y;
    let m = mat4x4f(lora_b[at], lora_b[at + RANK4], lora_b[at + 2u * RANK4], lora_b[at + 3u * RANK4]);
    z0 = mac4(z0, dy[d0 + n], m);
    z1 = mac4(z1, dy[d1 + n], m);
    z2 = mac4(z2, dy[d2 + n], m);
    z3 = mac4(z3, dy[d3 + n], m);
  }
  store(row, id.y, z0);
  store(row + 1u, id.y, z1);
  store(row + 2u, id.y, z2);
  store(row + 3u, id.y, z3);
}
