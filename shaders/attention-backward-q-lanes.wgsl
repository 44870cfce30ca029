// Gradient of the queries as attention-backward-q.wgsl, for devices with subgroups: the invocations of a workgroup share
// one key/value head and load its rows for each other, 16 keys at a time. One invocation takes 4 query rows.
// CPU twin: src/engine/reference/attention.ts; test: src/engine/ops/attention.test.ts.
//#enable subgroups
//#include lib/batch
//#include lib/attention
//#include lib/lanes

override LANES: u32 = 4;  // that load for each other; see lib/lanes
override WIDTH: u32 = 8;  // invocations of a workgroup

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

fn d_scores16(r: Query, keys: vec4u, s: mat4x4f, dp: mat4x4f) -> mat4x4f {
  return mat4x4f(d_scores(r, keys, s[0], dp[0]), d_scores(r, keys + 4u, s[1], dp[1]),
                 d_scores(r, keys + 8u, s[2], dp[2]), d_scores(r, keys + 12u, s[3], dp[3]));
}

fn load_k(at: vec4u) -> mat4x4f {
  if (LANES == 8u) { return mat4x4f(k[at.x], k[at.y], vec4f(), vec4f()); }
  return mat4x4f(k[at.x], k[at.y], k[at.z], k[at.w]);
}

fn load_v(at: vec4u) -> mat4x4f {
  if (LANES == 8u) { return mat4x4f(v[at.x], v[at.y], vec4f(), vec4f()); }
  return mat4x4f(v[at.x], v[at.y], v[at.z], v[at.w]);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32,
        @builtin(subgroup_invocation_id) lane: u32) {
  let kv = group.y;
  let begin = group.x * WIDTH * 4u;
  let rows = batch.tokens * params.group;
  if (begin >= rows) {
    return;
  }
  // Behind the last row several of the four are that row, and whole invocations are idle: they load for the others.
  let first = begin + index * 4u;
  let live = first < rows;
  let r0 = query(min(first, rows - 1u), kv);
  let r1 = query(min(first + 1u, rows - 1u), kv);
  let r2 = query(min(first + 2u, rows - 1u), kv);
  let r3 = query(min(first + 3u, rows - 1u), kv);
  // The keys that any row of the workgroup sees.
  let lowest = query(begin, kv).lowest;
  let highest = query(min(begin + WIDTH * 4u, rows) - 1u, kv).highest;
  for (var i = 0u; live && i < params.head4; i++) {
    dq[r0.at + i] = vec4f();
    dq[r1.at + i] = vec4f();
    dq[r2.at + i] = vec4f();
    dq[r3.at + i] = vec4f();
  }
  let step = params.kv_heads * params.head4;
  let base = kv * params.head4;
  for (var j = lowest; j <= highest; j += 16u) {
    let keys = vec4u(j) + vec4u(0u, 1u, 2u, 3u);
    let own = min(own_rows(j, lane), vec4u(highest)) * step + base;
    // Per query row: 16 scores, and 16 products dOut . v.
    var s0 = mat4x4f(); var p0 = mat4x4f();
    var s1 = mat4x4f(); var p1 = mat4x4f();
    var s2 = mat4x4f(); var p2 = mat4x4f();
    var s3 = mat4x4f(); var p3 = mat4x4f();
    for (var i = 0u; i < params.head4; i++) {
      let ks = turned_rows(load_k(own + i));
      s0 = dots16(ks.a, ks.b, ks.c, ks.d, q[r0.at + i], s0);
      s1 = dots16(ks.a, ks.b, ks.c, ks.d, q[r1.at + i], s1);
      s2 = dots16(ks.a, ks.b, ks.c, ks.d, q[r2.at + i], s2);
      s3 = dots16(ks.a, ks.b, ks.c, ks.d, q[r3.at + i], s3);
      let vs = turned_rows(load_v(own + i));
      p0 = dots16(vs.a, vs.b, vs.c, vs.d, d_out[r0.at + i], p0);
      p1 = dots16(vs.a, vs.b, vs.c, vs.d, d_out[r1.at + i], p1);
      p2 = dots16(vs.a, vs.b, vs.c, vs.d, d_out[r2.at + i], p2);
      p3 = dots16(vs.a, vs.b, vs.c, vs.d, d_out[r3.at + i], p3);
    }
    let d0 = d_scores16(r0, keys, s0, p0);
    let d1 = d_scores16(r1, keys, s1, p1);
    let d2 = d_scores16(r2, keys, s2, p2);
    let d3 = d_scores16(r3, keys, s3, p3);
    for (var i = 0u; i < params.head4; i++) {
      let ks = all_rows(load_k(own + i));
      if (live) {
        let g0 = gather16(ks.a, ks.b, ks.c, ks.d, d0, dq[r0.at + i]);
        let g1 = gather16(ks.a, ks.b, ks.c, ks.d, d1, dq[r1.at + i]);
        let g2 = gather16(ks.a, ks.b, ks.c, ks.d, d2, dq[r2.at + i]);
        let g3 = gather16(ks.a, ks.b, ks.c, ks.d, d3, dq[r3.at + i]);
        dq[r0.at + i] = g0;
        dq[r1.at + i] = g1;
        dq[r2.at + i] = g2;
        dq[r3.at + i] = g3;
      }
    }
  }
}
