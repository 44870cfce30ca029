// GELU in the tanh form of GPT-2, elementwise: y = x * s with s = (1 + tanh(u / 2)) / 2 = sigmoid(u) and
// u = 2 sqrt(2/pi) (x + 0.044715 x^3). The argument is clamped where s is 0 or 1 anyway, so that exp stays finite.
// CPU twin: src/engine/reference/gelu.ts; test: src/engine/ops/gelu.test.ts.
//#include lib/batch
//#include lib/flat

override WG: u32 = 64;

struct Params {
  cols4: u32,  // vec4s in a row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;        // [tokens, cols]
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;  // [tokens, cols]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = flat_index(id, groups, WG);
  if (at >= batch.tokens * params.cols4) {
    return;
  }
  let v = x[at];
  let c = clamp(v, vec4f(-9.0), vec4f(9.0));
  let u = c * (1.5957691216 + 0.0713548162726 * c * c);
  let s = select(1.0 / (1.0 + exp(-u)), vec4f(), v < vec4f(-9.0));
  y[at] = v * s;
}
