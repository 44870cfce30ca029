// SwiGLU backward, in place: with s = sigmoid(gate), dGate = dH * up * s * (1 + gate * (1 - s)), dUp = dH * gate * s.
// CPU twin: src/engine/reference/swiglu.ts; test: src/engine/ops/swiglu.test.ts.
//#include lib/batch

override WG: u32 = 64;

struct Params {
  cols4: u32,  // vec4s in a row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> d_hidden: array<vec4f>;     // [tokens, intermediate]
@group(0) @binding(3) var<storage, read_write> gate: array<vec4f>;   // in: gate, out: dGate
@group(0) @binding(4) var<storage, read_write> up: array<vec4f>;     // in: up, out: dUp

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  if (id.x >= params.cols4 || row >= batch.tokens) {
    return;
  }
  let at = row * params.cols4 + id.x;
  let g = gate[at];
  let u = up[at];
  let d = d_hidden[at];
  let s = 1.0 / (1.0 + exp(-g));
  gate[at] = d * u * s * (1.0 + g * (1.0 - s));
  up[at] = d * g * s;
}
