// Rotary position embedding, in place: in every head, columns i and i + headDim/2 turn by the angle of the position.
// x1 = x1 cos - x2 sin, x2 = x2 cos + x1 sin; backward is the same with sin negated (`direction` = -1).
// CPU twin: src/engine/reference/rope.ts; test: src/engine/ops/rope.test.ts.
//#include lib/batch
//#include lib/flat

override WG: u32 = 64;

struct Params {
  heads: u32,
  half2: u32,      // vec2s in half a head
  direction: f32,  // 1 forward, -1 backward
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> positions: array<u32>;   // [tokens]
@group(0) @binding(3) var<storage, read> cos_sin: array<vec2f>;   // [positions, headDim]: cos, then sin
@group(0) @binding(4) var<storage, read_write> x: array<vec2f>;   // [tokens, heads * headDim]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let item = flat_index(id, groups, WG);
  let head_row = item / params.half2;
  let token = head_row / params.heads;
  if (token >= batch.tokens) {
    return;
  }
  let column = item - head_row * params.half2;
  let angle = positions[token] * params.half2 * 2u + column;
  let c = cos_sin[angle];
  let s = cos_sin[angle + params.half2] * params.direction;
  let first = head_row * params.half2 * 2u + column;
  let second = first + params.half2;
  let x1 = x[first];
  let x2 = x[second];
  x[first] = x1 * c - x2 * s;
  x[second] = x2 * c + x1 * s;
}
