// Powers of two by the bits of a float32, exact on every device.

// 2^-e for a magnitude in [2^e, 2^(e+1)), given as bits. Both ends are clamped to normal floats.
fn inverse_power(magnitude: u32) -> f32 {
  return bitcast<f32>(clamp(254u - min(magnitude >> 23u, 254u), 1u, 253u) << 23u);
}
