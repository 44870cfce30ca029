// Rotary position embedding into a key cache: as rope.wgsl forward, but row t goes to row cache_rows[t] of `cache`.
// CPU twin: src/engine/reference/rope.ts; test: src/engine/ops/rope.test.ts.
//#include lib/batch
//#include lib/flat

override WG: u32 = 64;

struct Params {
  heads: u32,
  half2: u32,  // vec2s in half a head
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> x: array<vec2f>;             // [tokens, heads * headDim]
@group(0) @binding(3) var<storage, read> positions: array<u32>;       // [tokens]
@group(0) @binding(4) var<storage, read> cos_sin: array<vec2f>;       // [positions, headDim]: cos, then sin
@group(0) @binding(5) var<storage, read> cache_rows: array<u32>;      // [tokens]
@group(0) @binding(6) var<storage, read_write> cache: array<vec2f>;   // [texts * maxLen, heads * headDim]

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
  let s = cos_sin[angle + params.half2];
  let first = head_row * params.half2 * 2u + column;
  let x1 = x[first];
  let x2 = x[first + params.half2];
  let width = params.heads * params.half2 * 2u;
  let at = cache_rows[token] * width + first - token * width;
  cache[at] = x1 * c - x2 * s;
  cache[at + params.half2] = x2 * c + x1 * s;
}
