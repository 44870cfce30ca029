// Attention backward, gradient of the queries: dq = scale * sum over keys of p (dOut . v - delta) k, p from the saved lse.
// As attention.wgsl: query rows are token * group + head within the group; one invocation takes 4, keys come by 8.
// CPU twin: src/engine/reference/attention.ts; test: src/engine/ops/attention.test.ts.
//#include lib/batch
//#include lib/attention

override WG: u32 = 8;

struct Params {
  group: u32,        // query heads of one key/value head
  kv_heads: u32,
  head4: u32,        // vec4s in a head
  stat_stride: u32,  // pairs in a row of stats
  window: u32,       // keys a query sees at most, its own included
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> q: array<vec4f>;         // [tokens, heads * headDim]
@group(0) @binding(3) var<storage, read> k: array<vec4f>;         // [tokens, kvHeads * headDim]
@group(0) @binding(4) var<storage, read> v: array<vec4f>;         // as k
@group(0) @binding(5) var<storage, read> d_out: array<vec4f>;     // as q
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;     // [tokens, heads]: lse, delta
@group(0) @binding(7) var<storage, read> seg_start: array<u32>;   // [tokens]: first row of the token's sequence
@group(0) @binding(8) var<storage, read_write> dq: array<vec4f>;  // as q

struct Query { at: u32, lowest: u32, highest: u32, lse: f32, delta: f32 }

fn query(row: u32, kv: u32) -> Query {
  let token = row / params.group;
  let head = kv * params.group + row - token * params.group;
  let stat = stats[token * params.stat_stride + head];
  let at = (token * params.group * params.kv_heads + head) * params.head4;
  return Query(at, lowest_key(seg_start[token], token, params.window), token, stat.x, stat.y);
}

// The gradient of four scores: s before scaling, dp = dOut . v.
fn d_scores(r: Query, keys: vec4u, s: vec4f, dp: vec4f) -> vec4f {
  let p = weights(s * params.scale, vec4f(r.lse), within(keys, r.lowest, r.highest));
  return p * (dp - r.delta) * params.scale;
}

fn d_scores8(r: Query, keys: vec4u, s: mat4x4f) -> mat2x4f {
  return mat2x4f(d_scores(r, keys, s[0], s[2]), d_scores(r, keys + 4u, s[1], s[3]));
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let kv = id.x % params.kv_heads;
  let first = id.x / params.kv_heads * 4u;
  let rows = batch.tokens * params.group;
  if (first >= rows) {
    return;
  }
  // Behind the last row several of the four are that row: every round loads all four before it stores one.
  let r0 = query(first, kv);
  let r1 = query(min(first + 1u, rows - 1u), kv);
  let r2 = query(min(first + 2u, rows - 1u), kv);
  let r3 = query(min(first + 3u, rows - 1u), kv);
  for (var i = 0u; i < params.head4; i++) {
    dq[r0.at + i] = vec4f();
    dq[r1.at + i] = vec4f();
    dq[r2.at + i] = vec4f();
    dq[r3.at + i] = vec4f();
  }
  let step = params.kv_heads * params.head4;
  let base = kv * params.head4;
  let last = vec4u(r3.highest);
  for (var j = r0.lowest; j <= r3.highest; j += 8u) {
    let keys = vec4u(j) + vec4u(0u, 1u, 2u, 3u);
    let a = min(keys, last) * step + base;
    let b = min(keys + 4u, last) * step + base;
    // Per query row: 8 scores, then 8 products dOut . v.
    var s0 = mat4x4f();
    var s1 = mat4x4f();
    var s2 = mat4x4f();
    var s3 = mat4x4f();
    for (var i = 0u; i < params.head4; i++) {
      let ka = transpose(mat4x4f(k[a.x + i], k[a.y + i], k[a.z + i], k[a.w + i]));
      let kb = transpose(mat4x4f(k[b.x + i], k[b.y + i], k[b.z + i], k[b.w + i]));
      let va = transpose(mat4x4f(v[a.x + i], v[a.y + i], v[a.z + i], v[a.w + i]));
      let vb = transpose(mat4x4f(v[b.x + i], v[b.y + i], v[b.z + i], v[b.w + i]));
      s0 = dots8(ka, kb, va, vb, q[r0.at + i], d_out[r0.at + i], s0);
      s1 = dots8(ka, kb, va, vb, q[r1.at + i], d_out[r1.at + i], s1);
      s2 = dots8(ka, kb, va, vb, q[r2.at + i], d_out[r2.at + i], s2);
      s3 = dots8(ka, kb, va, vb, q[r3.at + i], d_out[r3.at + i], s3);
    }
    let d0 = d_scores8(r0, keys, s0);
    let d1 = d_scores8(r1, keys, s1);
    let d2 = d_scores8(r2, keys, s2);
    let d3 = d_scores8(r3, keys, s3);
    for (var i = 0u; i < params.head4; i++) {
      let ka = mat4x4f(k[a.x + i], k[a.y + i], k[a.z + i], k[a.w + i]);
      let kb = mat4x4f(k[b.x + i], k[b.y + i], k[b.z + i], k[b.w + i]);
      let g0 = gather8(ka, kb, d0[0], d0[1], dq[r0.at + i]);
      let g1 = gather8(ka, kb, d1[0], d1[1], dq[r1.at + i]);
      let g2 = gather8(ka, kb, d2[0], d2[1], dq[r2.at + i]);
      let g3 = gather8(ka, kb, d3[0], d3[1], dq[r3.at + i]);
      dq[r0.at + i] = g0;
      dq[r1.at + i] = g1;
      dq[r2.at + i] = g2;
      dq[r3.at + i] = g3;
    }
  }
}
