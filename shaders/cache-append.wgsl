// Copies row t of x to row cache_rows[t] of a cache: how values get there (keys: rope-cache.wgsl).
// CPU twin: none, a plain copy; test: src/engine/ops/cache.test.ts.
//#include lib/batch
//#include lib/flat

override WG: u32 = 64;

struct Params {
  cols4: u32,  // vec4s in a row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;            // [tokens, cols]
@group(0) @binding(3) var<storage, read> cache_rows: array<u32>;     // [tokens]
@group(0) @binding(4) var<storage, read_write> cache: array<vec4f>;  // [texts * maxLen, cols]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = flat_index(id, groups, WG);
  if (at >= batch.tokens * params.cols4) {
    return;
  }
  let token = at / params.cols4;
  cache[cache_rows[token] * params.cols4 + at - token * params.cols4] = x[at];
}
