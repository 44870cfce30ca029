// Attention backward, gradients of keys and values: dv = sum over the queries that see the key of p dOut, and
// dk = scale * sum of p (dOut . v - delta) q, p from the saved lse; all query heads of the key's head are summed here.
// One invocation takes 4 keys; the query rows (token * group + head within the group) come by 8.
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
@group(0) @binding(7) var<storage, read> seg_end: array<u32>;     // [tokens]: one past the last row of the token's sequence
@group(0) @binding(8) var<storage, read_write> dk: array<vec4f>;  // as k
@group(0) @binding(9) var<storage, read_write> dv: array<vec4f>;  // as k

// A key row: where it lies in k and v, and the first and the last token that sees it.
struct Key { at: u32, token: u32, last: u32 }

fn key(token: u32, kv: u32) -> Key {
  let end = min(seg_end[token], token + min(params.window, batch.tokens));
  return Key((token * params.kv_heads + kv) * params.head4, token, end - 1u);
}

// The (lse, delta) of four query rows: lse in the first column, delta in the second.
fn stats4(at: vec4u) -> mat2x4f {
  return transpose(mat4x2f(stats[at.x], stats[at.y], stats[at.z], stats[at.w]));
}

// Four weights, and the gradient of their scores: s before scaling, dp = dOut . v.
fn slopes(r: Key, tokens: vec4u, s: vec4f, dp: vec4f, stat: mat2x4f) -> mat2x4f {
  let p = weights(s * params.scale, stat[0], within(tokens, r.token, r.last));
  return mat2x4f(p, p * (dp - stat[1]) * params.scale);
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let kv = id.x % params.kv_heads;
  let first = id.x / params.kv_heads * 4u;
  if (first >= batch.tokens) {
    return;
  }
  // Behind the last row several of the four are that row: every round loads all four before it stores one.
  let r0 = key(first, kv);
  let r1 = key(min(first + 1u, batch.tokens - 1u), kv);
  let r2 = key(min(first + 2u, batch.tokens - 1u), kv);
  let r3 = key(min(first + 3u, batch.tokens - 1u), kv);
  for (var i = 0u; i < params.head4; i++) {
    dk[r0.at + i] = vec4f();
    dk[r1.at + i] = vec4f();
    dk[r2.at + i] = vec4f();
    dk[r3.at + i] = vec4f();
    dv[r0.at + i] = vec4f();
    dv[r1.at + i] = vec4f();
    dv[r2.at + i] = vec4f();
    dv[r3.at + i] = vec4f();
  }
  let head = kv * params.group;
  let heads = params.group * params.kv_heads;
  let end = (r3.last + 1u) * params.group;
  for (var row = first * params.group; row < end; row += 8u) {
    let rows_a = vec4u(row) + vec4u(0u, 1u, 2u, 3u);
    let rows_b = rows_a + 4u;
    let ta = min(rows_a, vec4u(end - 1u)) / params.group;
    let tb = min(rows_b, vec4u(end - 1u)) / params.group;
    let ha = head + min(rows_a, vec4u(end - 1u)) - ta * params.group;
    let hb = head + min(rows_b, vec4u(end - 1u)) - tb * params.group;
    let a = (ta * heads + ha) * params.head4;
    let b = (tb * heads + hb) * params.head4;
    // Per key: 8 scores, then 8 products dOut . v.
    var s0 = mat4x4f();
    var s1 = mat4x4f();
    var s2 = mat4x4f();
    var s3 = mat4x4f();
    for (var i = 0u; i < params.head4; i++) {
      let qa = transpose(mat4x4f(q[a.x + i], q[a.y + i], q[a.z + i], q[a.w + i]));
      let qb = transpose(mat4x4f(q[b.x + i], q[b.y + i], q[b.z + i], q[b.w + i]));
      let ga = transpose(mat4x4f(d_out[a.x + i], d_out[a.y + i], d_out[a.z + i], d_out[a.w + i]));
      let gb = transpose(mat4x4f(d_out[b.x + i], d_out[b.y + i], d_out[b.z + i], d_out[b.w + i]));
      s0 = dots8(qa, qb, ga, gb, k[r0.at + i], v[r0.at + i], s0);
      s1 = dots8(qa, qb, ga, gb, k[r1.at + i], v[r1.at + i], s1);
      s2 = dots8(qa, qb, ga, gb, k[r2.at + i], v[r2.at + i], s2);
      s3 = dots8(qa, qb, ga, gb, k[r3.at + i], v[r3.at + i], s3);
    }
    let stat_a = stats4(ta * params.stat_stride + ha);
    let stat_b = stats4(tb * params.stat_stride + hb);
    let tokens_a = rows_a / params.group;
    let tokens_b = rows_b / params.group;
    let d0a = slopes(r0, tokens_a, s0[0], s0[2], stat_a);
    let d0b = slopes(r0, tokens_b, s0[1], s0[3], stat_b);
    let d1a = slopes(r1, tokens_a, s1[0], s1[2], stat_a);
    let d1b = slopes(r1, tokens_b, s1[1], s1[3], stat_b);
    let d2a = slopes(r2, tokens_a, s2[0], s2[2], stat_a);
    let d2b = slopes(r2, tokens_b, s2[1], s2[3], stat_b);
    let d3a = slopes(r3, tokens_a, s3[0], s3[2], stat_a);
    let d3b = slopes(r3, tokens_b, s3[1], s3[3], stat_b);
    for (var i = 0u; i < params.head4; i++) {
      let qa = mat4x4f(q[a.x + i], q[a.y + i], q[a.z + i], q[a.w + i]);
      let qb = mat4x4f(q[b.x + i], q[b.y + i], q[b.z + i], q[b.w + i]);
      let k0 = gather8(qa, qb, d0a[1], d0b[1], dk[r0.at + i]);
      let k1 = gather8(qa, qb, d1a[1], d1b[1], dk[r1.at + i]);
      let k2 = gather8(qa, qb, d2a[1], d2b[1], dk[r2.at + i]);
      let k3 = gather8(qa, qb, d3a[1], d3b[1], dk[r3.at + i]);
      dk[r0.at + i] = k0;
      dk[r1.at + i] = k1;
      dk[r2.at + i] = k2;
      dk[r3.at + i] = k3;
      let ga = mat4x4f(d_out[a.x + i], d_out[a.y + i], d_out[a.z + i], d_out[a.w + i]);
      let gb = mat4x4f(d_out[b.x + i], d_out[b.y + i], d_out[b.z + i], d_out[b.w + i]);
      let v0 = gather8(ga, gb, d0a[0], d0b[0], dv[r0.at + i]);
      let v1 = gather8(ga, gb, d1a[0], d1b[0], dv[r1.at + i]);
      let v2 = gather8(ga, gb, d2a[0], d2b[0], dv[r2.at + i]);
      let v3 = gather8(ga, gb, d3a[0], d3b[0], dv[r3.at + i]);
      dv[r0.at + i] = v0;
      dv[r1.at + i] = v1;
      dv[r2.at + i] = v2;
      dv[r3.at + i] = v3;
    }
  }
}
