// Causal attention as attention.wgsl, for devices with subgroups: the invocations of a workgroup share one key/value head
// and load its rows for each other, 16 keys at a time. One invocation takes 4 query rows.
// CPU twin: src/engine/reference/attention.ts; test: src/engine/ops/attention.test.ts.
//#enable subgroups
//#include lib/batch
//#include lib/attention
//#include lib/lanes

override LANES: u32 = 4;  // that load for each other; see lib/lanes
override WIDTH: u32 = 8;  // invocations of a workgroup

struct Params {
  group: u32,       // query heads of one key/value head
  kv_heads: u32,
  head4: u32,       // vec4s in a head
  lse_stride: u32,  // floats in a row of lse
  window: u32,      // keys a query sees at most, its own included
  cached: u32,      // 1: k and v are caches, and query row t sits at their row batch.key_offset + t
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> q: array<vec4f>;          // [tokens, heads * headDim]
@group(0) @binding(3) var<storage, read> k: array<vec4f>;          // [tokens or maxLen, kvHeads * headDim]
@group(0) @binding(4) var<storage, read> v: array<vec4f>;          // as k
@group(0) @binding(5) var<storage, read> seg_start: array<u32>;    // [tokens]: first row of the token's sequence
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;  // [tokens, heads * headDim]
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;    // [tokens, heads]

// A query row: where it lies in q and out, where in lse, and the keys it sees.
struct Query { at: u32, stat: u32, lowest: u32, highest: u32 }

fn query(row: u32, kv: u32) -> Query {
  let token = row / params.group;
  let head = kv * params.group + row - token * params.group;
  let key = token + params.cached * batch.key_offset;
  let at = (token * params.group * params.kv_heads + head) * params.head4;
  return Query(at, token * params.lse_stride + head, lowest_key(seg_start[token], key, params.window), key);
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
  var t0 = Soft(MASKED, 0.0, 0.0, mat4x4f());
  var t1 = t0;
  var t2 = t0;
  var t3 = t0;
  for (var i = 0u; live && i < params.head4; i++) {
    out[r0.at + i] = vec4f();
    out[r1.at + i] = vec4f();
    out[r2.at + i] = vec4f();
    out[r3.at + i] = vec4f();
  }
  let step = params.kv_heads * params.head4;
  let base = kv * params.head4;
  for (var j = lowest; j <= highest; j += 16u) {
    let keys = vec4u(j) + vec4u(0u, 1u, 2u, 3u);
    let own = min(own_rows(j, lane), vec4u(highest)) * step + base;
    var s0 = mat4x4f();
    var s1 = mat4x4f();
    var s2 = mat4x4f();
    var s3 = mat4x4f();
    for (var i = 0u; i < params.head4; i++) {
      let ks = turned_rows(load_k(own + i));
      s0 = dots16(ks.a, ks.b, ks.c, ks.d, q[r0.at + i], s0);
      s1 = dots16(ks.a, ks.b, ks.c, ks.d, q[r1.at + i], s1);
      s2 = dots16(ks.a, ks.b, ks.c, ks.d, q[r2.at + i], s2);
      s3 = dots16(ks.a, ks.b, ks.c, ks.d, q[r3.at + i], s3);
    }
    t0 = soften(keys, r0.lowest, r0.highest, s0 * params.scale, t0);
    t1 = soften(keys, r1.lowest, r1.highest, s1 * params.scale, t1);
    t2 = soften(keys, r2.lowest, r2.highest, s2 * params.scale, t2);
    t3 = soften(keys, r3.lowest, r3.highest, s3 * params.scale, t3);
    for (var i = 0u; i < params.head4; i++) {
      let vs = all_rows(load_v(own + i));
      if (live) {
        let o0 = gather16(vs.a, vs.b, vs.c, vs.d, t0.p, out[r0.at + i] * t0.shrink);
        let o1 = gather16(vs.a, vs.b, vs.c, vs.d, t1.p, out[r1.at + i] * t1.shrink);
        let o2 = gather16(vs.a, vs.b, vs.c, vs.d, t2.p, out[r2.at + i] * t2.shrink);
        let o3 = gather16(vs.a, vs.b, vs.c, vs.d, t3.p, out[r3.at + i] * t3.shrink);
        out[r0.at + i] = o0;
        out[r1.at + i] = o1;
        out[r2.at + i] = o2;
        out[r3.at + i] = o3;
      }
    }
  }
  if (!live) {
    return;
  }
  for (var i = 0u; i < params.head4; i++) {
    let o0 = out[r0.at + i] / t0.total;
    let o1 = out[r1.at + i] / t1.total;
    let o2 = out[r2.at + i] / t2.total;
    let o3 = out[r3.at + i] / t3.total;
    out[r0.at + i] = o0;
    out[r1.at + i] = o1;
    out[r2.at + i] = o2;
    out[r3.at + i] = o3;
  }
  lse[r0.stat] = t0.peak + log(t0.total);
  lse[r1.stat] = t1.peak + log(t1.total);
  lse[r2.stat] = t2.peak + log(t2.total);
  lse[r3.stat] = t3.peak + log(t3.total);
}
