// SwiGLU: h = silu(gate) * up, elementwise over [tokens, intermediate].
// CPU twin: src/engine/reference/swiglu.ts; test: src/engine/ops/swiglu.test.ts.
//#include lib/batch

override WG: u32 = 64;

struct Params {
  cols4: u32,  // vec4s in a row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> gate: array<vec4f>;        // [tokens, intermediate]
@group(0) @binding(3) var<storage, read> up: array<vec4f>;          // [tokens, intermediate]
@group(0) @binding(4) var<storage, read_write> hidden: array<vec4f>;  // [tokens, intermediate]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  if (id.x >= params.cols4 || row >= batch.tokens) {
    return;
  }
  let at = row * params.cols4 + id.x;
  let g = gate[at];
  hidden[at] = g / (1.0 + exp(-g)) * up[at];
}
