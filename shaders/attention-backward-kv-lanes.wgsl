// Gradients of keys and values as attention-backward-kv.wgsl, for devices with subgroups: the invocations of a workgroup
// share one key/value head and load query rows for each other, 16 at a time. One invocation takes 4 keys.
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
@group(0) @binding(7) var<storage, read> seg_end: array<u32>;     // [tokens]: one past the last row of the token's sequence
@group(0) @binding(8) var<storage, read_write> dk: array<vec4f>;  // as k
@group(0) @binding(9) var<storage, read_write> dv: array<vec4f>;  // as k

// A key row: where it lies in k and v, and the first and the last token that sees it.
struct Key { at: u32, token: u32, last: u32 }

fn key(token: u32, kv: u32) -> Key {
  let end = min(seg_end[token], token + min(params.window, batch.tokens));
  return Key((token * params.kv_heads + kv) * params.head4, token, end - 1u);
}

// The weights of 16 query rows, and the gradients of their scores.
struct Slopes { p: mat4x4f, d: mat4x4f }

// For four of them; s before scaling, dp = dOut . v, stat their lse and delta.
fn slopes(r: Key, tokens: vec4u, s: vec4f, dp: vec4f, stat: mat4x4f) -> mat2x4f {
  let p = weights(s * params.scale, stat[0], within(tokens, r.token, r.last));
  return mat2x4f(p, p * (dp - stat[1]) * params.scale);
}

fn slopes16(r: Key, rows: vec4u, s: mat4x4f, dp: mat4x4f, stat: Rows) -> Slopes {
  let a = slopes(r, rows / params.group, s[0], dp[0], stat.a);
  let b = slopes(r, (rows + 4u) / params.group, s[1], dp[1], stat.b);
  let c = slopes(r, (rows + 8u) / params.group, s[2], dp[2], stat.c);
  let d = slopes(r, (rows + 12u) / params.group, s[3], dp[3], stat.d);
  return Slopes(mat4x4f(a[0], b[0], c[0], d[0]), mat4x4f(a[1], b[1], c[1], d[1]));
}

fn load_q(at: vec4u) -> mat4x4f {
  if (LANES == 8u) { return mat4x4f(q[at.x], q[at.y], vec4f(), vec4f()); }
  return mat4x4f(q[at.x], q[at.y], q[at.z], q[at.w]);
}

fn load_d_out(at: vec4u) -> mat4x4f {
  if (LANES == 8u) { return mat4x4f(d_out[at.x], d_out[at.y], vec4f(), vec4f()); }
  return mat4x4f(d_out[at.x], d_out[at.y], d_out[at.z], d_out[at.w]);
}

fn load_stats(at: vec4u) -> mat4x4f {
  let none = vec2f();
  return mat4x4f(vec4f(stats[at.x], none), vec4f(stats[at.y], none), vec4f(stats[at.z], none), vec4f(stats[at.w], none));
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32,
        @builtin(subgroup_invocation_id) lane: u32) {
  let kv = group.y;
  let begin = group.x * WIDTH * 4u;
  if (begin >= batch.tokens) {
    return;
  }
  // Behind the last key several of the four are that key, and whole invocations are idle: they load for the others.
  let first = begin + index * 4u;
  let live = first < batch.tokens;
  let r0 = key(min(first, batch.tokens - 1u), kv);
  let r1 = key(min(first + 1u, batch.tokens - 1u), kv);
  let r2 = key(min(first + 2u, batch.tokens - 1u), kv);
  let r3 = key(min(first + 3u, batch.tokens - 1u), kv);
  for (var i = 0u; live && i < params.head4; i++) {
    dk[r0.at + i] = vec4f(); dv[r0.at + i] = vec4f();
    dk[r1.at + i] = vec4f(); dv[r1.at + i] = vec4f();
    dk[r2.at + i] = vec4f(); dv[r2.at + i] = vec4f();
    dk[r3.at + i] = vec4f(); dv[r3.at + i] = vec4f();
  }
  let head = kv * params.group;
  let heads = params.group * params.kv_heads;
  // The query rows that see any key of the workgroup.
  let end = (key(min(begin + WIDTH * 4u, batch.tokens) - 1u, kv).last + 1u) * params.group;
  for (var row = begin * params.group; row < end; row += 16u) {
    let rows = vec4u(row) + vec4u(0u, 1u, 2u, 3u);
    let mine = min(own_rows(row, lane), vec4u(end - 1u));
    let token = mine / params.group;
    let mine_head = head + mine - token * params.group;
    let own = (token * heads + mine_head) * params.head4;
    let stat = turned_rows(load_stats(token * params.stat_stride + mine_head));
    // Per key: 16 scores, and 16 products dOut . v.
    var s0 = mat4x4f(); var p0 = mat4x4f();
    var s1 = mat4x4f(); var p1 = mat4x4f();
    var s2 = mat4x4f(); var p2 = mat4x4f();
    var s3 = mat4x4f(); var p3 = mat4x4f();
    for (var i = 0u; i < params.head4; i++) {
      let qs = turned_rows(load_q(own + i));
      s0 = dots16(qs.a, qs.b, qs.c, qs.d, k[r0.at + i], s0);
      s1 = dots16(qs.a, qs.b, qs.c, qs.d, k[r1.at + i], s1);
      s2 = dots16(qs.a, qs.b, qs.c, qs.d, k[r2.at + i], s2);
      s3 = dots16(qs.a, qs.b, qs.c, qs.d, k[r3.at + i], s3);
      let gs = turned_rows(load_d_out(own + i));
      p0 = dots16(gs.a, gs.b, gs.c, gs.d, v[r0.at + i], p0);
      p1 = dots16(gs.a, gs.b, gs.c, gs.d, v[r1.at + i], p1);
      p2 = dots16(gs.a, gs.b, gs.c, gs.d, v[r2.at + i], p2);
      p3 = dots16(gs.a, gs.b, gs.c, gs.d, v[r3.at + i], p3);
    }
    let d0 = slopes16(r0, rows, s0, p0, stat);
    let d1 = slopes16(r1, rows, s1, p1, stat);
    let d2 = slopes16(r2, rows, s2, p2, stat);
    let d3 = slopes16(r3, rows, s3, p3, stat);
    for (var i = 0u; i < params.head4; i++) {
      let qs = all_rows(load_q(own + i));
      let gs = all_rows(load_d_out(own + i));
      if (live) {
        let k0 = gather16(qs.a, qs.b, qs.c, qs.d, d0.d, dk[r0.at + i]);
        let k1 = gather16(qs.a, qs.b, qs.c, qs.d, d1.d, dk[r1.at + i]);
        let k2 = gather16(qs.a, qs.b, qs.c, qs.d, d2.d, dk[r2.at + i]);
        let k3 = gather16(qs.a, qs.b, qs.c, qs.d, d3.d, dk[r3.at + i]);
        let v0 = gather16(gs.a, gs.b, gs.c, gs.d, d0.p, dv[r0.at + i]);
        let v1 = gather16(gs.a, gs.b, gs.c, gs.d, d1.p, dv[r1.at + i]);
        let v2 = gather16(gs.a, gs.b, gs.c, gs.d, d2.p, dv[r2.at + i]);
        let v3 = gather16(gs.a, gs.b, gs.c, gs.d, d3.p, dv[r3.at + i]);
        dk[r0.at + i] = k0; dv[r0.at + i] = v0;
        dk[r1.at + i] = k1; dv[r1.at + i] = v1;
        dk[r2.at + i] = k2; dv[r2.at + i] = v2;
        dk[r3.at + i] = k3; dv[r3.at + i] = v3;
      }
    }
  }
}
