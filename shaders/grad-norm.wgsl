// First stage of the global L2 norm: each workgroup takes 2048 floats and leaves their largest magnitude and the sum of
// their squares, scaled by the power of two of that magnitude, so that no square over- or underflows.
// Magnitudes are compared as bits, whose order is that of the values, with infinity and NaN above all.
// CPU twin: src/engine/reference/grad-norm.ts; test: src/engine/ops/grad-norm.test.ts.
//#include lib/power

const WG = 64u;
const VECS = 8u;  // vec4s of one invocation

struct Params {
  count4: u32,         // vec4s of this part
  groups: u32,         // workgroups that have work
  first_partial: u32,  // workgroups of the parts before
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grads: array<vec4u>;           // [floats]
@group(0) @binding(2) var<storage, read_write> partials: array<vec2u>;  // [groups]: bits of the peak, of the scaled sum

var<workgroup> peaks: array<u32, WG>;
var<workgroup> sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group_id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
) {
  let group = group_id.y * grid.x + group_id.x;
  var magnitudes: array<vec4u, VECS>;
  var largest = vec4u();
  for (var i = 0u; i < VECS; i++) {
    let at = (group * VECS + i) * WG + lane;
    if (at < params.count4) {
      magnitudes[i] = grads[at] & vec4u(0x7fffffffu);
      largest = max(largest, magnitudes[i]);
    }
  }
  peaks[lane] = max(max(largest.x, largest.y), max(largest.z, largest.w));
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width /= 2u) {
    if (lane < width) {
      peaks[lane] = max(peaks[lane], peaks[lane + width]);
    }
    workgroupBarrier();
  }
  let peak = peaks[0];
  let scale = inverse_power(peak);
  var squares = vec4f();
  for (var i = 0u; i < VECS; i++) {
    let value = bitcast<vec4f>(magnitudes[i]) * scale;
    squares += value * value;
  }
  sums[lane] = (squares.x + squares.y) + (squares.z + squares.w);
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width /= 2u) {
    if (lane < width) {
      sums[lane] += sums[lane + width];
    }
    workgroupBarrier();
  }
  if (lane == 0u && group < params.groups) {
    partials[params.first_partial + group] = vec2u(peak, bitcast<u32>(sums[0]));
  }
}
