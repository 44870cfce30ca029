// Attention backward, first part: per query and head, (lse, delta) with delta = dOut . out, side by side for the others.
// CPU twin: src/engine/reference/attention.ts; test: src/engine/ops/attention.test.ts.
//#include lib/batch
//#include lib/flat

override WG: u32 = 64;

struct Params {
  heads: u32,
  head4: u32,        // vec4s in a head
  lse_stride: u32,   // floats in a row of lse
  stat_stride: u32,  // pairs in a row of stats
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> out: array<vec4f>;          // [tokens, heads * headDim]
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;        // as out
@group(0) @binding(4) var<storage, read> lse: array<f32>;            // [tokens, heads]
@group(0) @binding(5) var<storage, read_write> stats: array<vec2f>;  // [tokens, heads]: lse, delta

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let item = flat_index(id, groups, WG);
  let token = item / params.heads;
  if (token >= batch.tokens) {
    return;
  }
  let head = item - token * params.heads;
  var sum = vec4f();
  for (var i = 0u; i < params.head4; i++) {
    sum = fma(d_out[item * params.head4 + i], out[item * params.head4 + i], sum);
  }
  let delta = (sum.x + sum.y) + (sum.z + sum.w);
  stats[token * params.stat_stride + head] = vec2f(lse[token * params.lse_stride + head], delta);
}
