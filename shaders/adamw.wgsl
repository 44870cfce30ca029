// One step of AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) over flat buffers, as torch.optim.AdamW:
// p *= 1 - lr wd; m = lerp(m, g, 1 - b1); v = b2 v + (1 - b2) g²; p -= lr / bc1 * m / (sqrt(v) / sqrt(bc2) + eps),
// with g divided by a count and then clipped as torch.nn.utils.clip_grad_norm_. A norm that is not finite leaves everything as it is.
// CPU twin: src/engine/reference/adamw.ts; test: src/engine/ops/adamw.test.ts.
//#include lib/flat

override WG: u32 = 64;

struct Params {
  count4: u32,  // vec4s of this part
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> hyper: array<f32>;                // [9], written by writeAdamHyper
@group(0) @binding(2) var<storage, read> norm: array<u32>;                 // [1], the bits of the global norm
@group(0) @binding(3) var<storage, read> grads: array<vec4f>;              // [floats]
@group(0) @binding(4) var<storage, read_write> exp_avg: array<vec4f>;      // [floats]
@group(0) @binding(5) var<storage, read_write> exp_avg_sq: array<vec4f>;   // [floats]
@group(0) @binding(6) var<storage, read_write> parameters: array<vec4f>;   // [floats]

// torch's lerp: from the nearer end, so that a weight of 1 gives the end itself.
fn lerp(start: vec4f, end: vec4f, weight: f32) -> vec4f {
  let difference = end - start;
  return select(end - difference * (1.0 - weight), start + difference * weight, weight < 0.5);
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = flat_index(id, groups, WG);
  // By the bits: WGSL lets compilers assume that no float is infinite or NaN.
  let finite = (norm[0] & 0x7f800000u) != 0x7f800000u;
  if (at >= params.count4 || !finite) {
    return;
  }
  let decay = hyper[0];
  let weight1 = hyper[1];
  let beta2 = hyper[2];
  let weight2 = hyper[3];
  let step_size = hyper[4];
  let correction2 = hyper[5];
  let eps = hyper[6];
  let clip = hyper[7];
  let share = hyper[8];
  let coefficient = select(1.0, min(1.0, clip / (bitcast<f32>(norm[0]) * share + 1e-6)), clip > 0.0);
  let g = grads[at] * share * coefficient;
  let m = lerp(exp_avg[at], g, weight1);
  let v = exp_avg_sq[at] * beta2 + weight2 * g * g;
  let root = sqrt(v) / correction2 + eps;
  // Only with eps = 0: padding stays zero instead of becoming 0 / 0.
  let denominator = select(root, vec4f(1.0), root == vec4f());
  exp_avg[at] = m;
  exp_avg_sq[at] = v;
  parameters[at] = parameters[at] * decay - step_size * m / denominator;
}
