// The four inputs of one output of a 4x4 block.

fn column_of(m: mat4x4f, output: u32) -> vec4f {
  return transpose(m)[output];
}

fn column_f32(k0: vec4u, k1: vec4u, k2: vec4u, k3: vec4u, output: u32) -> vec4f {
  return column_of(mat4x4f(bitcast<vec4f>(k0), bitcast<vec4f>(k1), bitcast<vec4f>(k2), bitcast<vec4f>(k3)), output);
}
