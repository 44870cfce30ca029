// 4x4 blocks of frozen weights, and the product that consumes them.
// A block is a matrix whose column k holds the four outputs of input k. Packing: src/engine/model/packing.ts.

// bf16 is the upper half of a float32, so a shift or a mask restores it exactly on every device.
fn unpack_bf16(a: vec4u, b: vec4u) -> mat4x4f {
  let a_even = bitcast<vec4f>(a << vec4u(16u));
  let a_odd = bitcast<vec4f>(a & vec4u(0xffff0000u));
  let b_even = bitcast<vec4f>(b << vec4u(16u));
  let b_odd = bitcast<vec4f>(b & vec4u(0xffff0000u));
  return mat4x4f(
    vec4f(a_even.x, a_odd.x, a_even.y, a_odd.y), vec4f(a_even.z, a_odd.z, a_even.w, a_odd.w),
    vec4f(b_even.x, b_odd.x, b_even.y, b_odd.y), vec4f(b_even.z, b_odd.z, b_even.w, b_odd.w));
}

fn unpack_f16(a: vec4u, b: vec4u) -> mat4x4f {
  return mat4x4f(
    vec4f(unpack_half(a.x), unpack_half(a.y)), vec4f(unpack_half(a.z), unpack_half(a.w)),
    vec4f(unpack_half(b.x), unpack_half(b.y)), vec4f(unpack_half(b.z), unpack_half(b.w)));
}

// unpack2x16float may flush subnormals (gpuweb#4149), so the two halves are widened by hand: exact on every device.
fn unpack_half(word: u32) -> vec2f {
  let h = vec2u(word & 0xffffu, word >> 16u);
  let magnitude = h & vec2u(0x7fffu);
  let sign = (h & vec2u(0x8000u)) << vec2u(16u);
  let normal = bitcast<vec2f>((magnitude << vec2u(13u)) + vec2u(0x38000000u));
  let subnormal = vec2f(magnitude) * 5.9604644775390625e-8;
  let value = select(normal, subnormal, magnitude < vec2u(0x400u));
  return bitcast<vec2f>(bitcast<vec2u>(value) | sign);
}

// acc + v * m, inputs in ascending order: every variant of a product adds in this order, so all give the same bits.
fn mac4(acc: vec4f, v: vec4f, m: mat4x4f) -> vec4f {
  return fma(vec4f(v.w), m[3], fma(vec4f(v.z), m[2], fma(vec4f(v.y), m[1], fma(vec4f(v.x), m[0], acc))));
}
