// Attention of texts that are decoded side by side: one query row per text, over the rows of that text in the cache. One
// invocation takes one head of one text, 16 keys at a time in the order of attention.wgsl, so the bits are the same.
// CPU twin: src/engine/reference/attention.ts; test: src/engine/ops/attention-decode.test.ts.
//#include lib/batch
//#include lib/attention

override WG: u32 = 8;

struct Params {
  group: u32,       // query heads of one key/value head
  kv_heads: u32,
  head4: u32,       // vec4s in a head
  lse_stride: u32,  // floats in a row of lse
  window: u32,      // keys a query sees at most, its own included
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> q: array<vec4f>;           // [tokens, heads * headDim]
@group(0) @binding(3) var<storage, read> k: array<vec4f>;           // [texts * maxLen, kvHeads * headDim]
@group(0) @binding(4) var<storage, read> v: array<vec4f>;           // as k
@group(0) @binding(5) var<storage, read> seg_start: array<u32>;     // [tokens]: first cache row of the token's text
@group(0) @binding(6) var<storage, read> cache_rows: array<u32>;    // [tokens]: the cache row of the token itself
@group(0) @binding(7) var<storage, read_write> out: array<vec4f>;   // [tokens, heads * headDim]
@group(0) @binding(8) var<storage, read_write> lse: array<f32>;     // [tokens, heads]

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let heads = params.group * params.kv_heads;
  let token = id.x / heads;
  if (token >= batch.tokens) {
    return;
  }
  let head = id.x - token * heads;
  let highest = cache_rows[token];
  let lowest = lowest_key(seg_start[token], highest, params.window);
  let at = (token * heads + head) * params.head4;
  let step = params.kv_heads * params.head4;
  let base = head / params.group * params.head4;
  let last = vec4u(highest);
  var soft = Soft(MASKED, 0.0, 0.0, mat4x4f());
  for (var i = 0u; i < params.head4; i++) {
    out[at + i] = vec4f();
  }
  for (var j = lowest; j <= highest; j += 16u) {
    let keys = vec4u(j) + vec4u(0u, 1u, 2u, 3u);
    let a = min(keys, last) * step + base;
    let b = min(keys + 4u, last) * step + base;
    let c = min(keys + 8u, last) * step + base;
    let d = min(keys + 12u, last) * step + base;
    var s = mat4x4f();
    for (var i = 0u; i < params.head4; i++) {
      let ka = transpose(mat4x4f(k[a.x + i], k[a.y + i], k[a.z + i], k[a.w + i]));
      let kb = transpose(mat4x4f(k[b.x + i], k[b.y + i], k[b.z + i], k[b.w + i]));
      let kc = transpose(mat4x4f(k[c.x + i], k[c.y + i], k[c.z + i], k[c.w + i]));
      let kd = transpose(mat4x4f(k[d.x + i], k[d.y + i], k[d.z + i], k[d.w + i]));
      s = dots16(ka, kb, kc, kd, q[at + i], s);
    }
    soft = soften(keys, lowest, highest, s * params.scale, soft);
    for (var i = 0u; i < params.head4; i++) {
      let va = mat4x4f(v[a.x + i], v[a.y + i], v[a.z + i], v[a.w + i]);
      let vb = mat4x4f(v[b.x + i], v[b.y + i], v[b.z + i], v[b.w + i]);
      let vc = mat4x4f(v[c.x + i], v[c.y + i], v[c.z + i], v[c.w + i]);
      let vd = mat4x4f(v[d.x + i], v[d.y + i], v[d.z + i], v[d.w + i]);
      out[at + i] = gather16(va, vb, vc, vd, soft.p, out[at + i] * soft.shrink);
    }
  }
  for (var i = 0u; i < params.head4; i++) {
    out[at + i] /= soft.total;
  }
  lse[token * params.lse_stride + head] = soft.peak + log(soft.total);
}
