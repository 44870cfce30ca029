// Copies batch.tokens rows of a cache from row batch.key_offset on, the prompt of a text, to the texts behind it, until
// batch.head_rows texts have it.
// CPU twin: none, a plain copy; test: src/engine/ops/cache.test.ts.
//#include lib/batch
//#include lib/flat

override WG: u32 = 64;

struct Params {
  cols4: u32,   // vec4s in a row
  max_len: u32, // rows of a text
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read_write> cache: array<vec4f>;  // [texts * maxLen, cols]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let item = flat_index(id, groups, WG);
  let prompt = batch.tokens * params.cols4;
  if (item >= prompt * (batch.head_rows - 1u)) {
    return;
  }
  let text = item / prompt + 1u;
  let source = batch.key_offset * params.cols4 + item % prompt;
  cache[text * params.max_len * params.cols4 + source] = cache[source];
}
