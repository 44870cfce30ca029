// The arithmetic peak of an adapter: fused multiply-adds on registers and nothing else.
// 64 invocations per workgroup, 512 rounds, eight vec4s: 2 * 512 * 8 * 4 operations per invocation.

@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var a0 = vec4f(f32(id.x));
  var a1 = a0 + 1.0;
  var a2 = a0 + 2.0;
  var a3 = a0 + 3.0;
  var a4 = a0 + 4.0;
  var a5 = a0 + 5.0;
  var a6 = a0 + 6.0;
  var a7 = a0 + 7.0;
  let m = vec4f(0.999);
  let k = vec4f(0.001);
  for (var i = 0u; i < 512u; i++) {
    a0 = fma(a0, m, k);
    a1 = fma(a1, m, k);
    a2 = fma(a2, m, k);
    a3 = fma(a3, m, k);
    a4 = fma(a4, m, k);
    a5 = fma(a5, m, k);
    a6 = fma(a6, m, k);
    a7 = fma(a7, m, k);
  }
  out[id.x] = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
}
