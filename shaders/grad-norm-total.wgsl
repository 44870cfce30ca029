// Second stage of the global L2 norm: one workgroup brings the partial sums to the scale of the largest and adds them in
// a fixed order. An infinite or NaN gradient makes the norm infinite.
// CPU twin: src/engine/reference/grad-norm.ts; test: src/engine/ops/grad-norm.test.ts.
//#include lib/power

const WG = 256u;

struct Params {
  count: u32,  // partial sums
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec2u>;   // [groups]: bits of the peak, of the scaled sum
@group(0) @binding(2) var<storage, read_write> norm: array<u32>;   // [1], the bits of the norm

var<workgroup> peaks: array<u32, WG>;
var<workgroup> sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
  var largest = 0u;
  for (var i = lane; i < params.count; i += WG) {
    largest = max(largest, partials[i].x);
  }
  peaks[lane] = largest;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width /= 2u) {
    if (lane < width) {
      peaks[lane] = max(peaks[lane], peaks[lane + width]);
    }
    workgroupBarrier();
  }
  let peak = peaks[0];
  let scale = inverse_power(peak);
  var sum = 0.0;
  for (var i = lane; i < params.count; i += WG) {
    // At most 1, since no partial's power is above the peak's.
    let ratio = scale / inverse_power(partials[i].x);
    sum += bitcast<f32>(partials[i].y) * ratio * ratio;
  }
  sums[lane] = sum;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width /= 2u) {
    if (lane < width) {
      sums[lane] += sums[lane + width];
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let finite = peak < 0x7f800000u;
    norm[0] = select(0x7f800000u, bitcast<u32>(sqrt(sums[0]) / scale), finite);
  }
}
