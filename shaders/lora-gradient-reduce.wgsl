// Adds the partial sums of lora-gradient.wgsl in the order of their slices: c += scale * Σ_s partial[s].
// CPU twin: src/engine/reference/lora.ts; test: src/engine/ops/lora.test.ts.
//#include lib/batch

override COUNT4: u32 = 1;  // vec4s of the gradient
override SLICE: u32 = 64;  // tokens per slice

struct Params {
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> partial: array<vec4f>;  // [slices, P, Q]
@group(0) @binding(3) var<storage, read_write> c: array<vec4f>;  // [P, Q]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= COUNT4) {
    return;
  }
  // Slices past the used rows hold nothing.
  let slices = (batch.tokens + SLICE - 1u) / SLICE;
  var sum = vec4f();
  for (var s = 0u; s < slices; s++) {
    sum += partial[s * COUNT4 + id.x];
  }
  c[id.x] += params.scale * batch.scale * sum;
}
