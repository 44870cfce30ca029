// One vocabulary tile of the running softmax (Milakov & Gimelshein 2018, arXiv 1805.02867), one row per invocation.
// state = (max, sum, logit of the target, factor that earlier tiles' sums take). With GRADIENT the tile's logits become
// exp(logit - max), so that the backward product can add up Σ softmax W tile by tile, as flash attention does.
// CPU twin: src/engine/reference/head.ts; test: src/engine/ops/head.test.ts.
//#include lib/batch

override GRADIENT: bool = false;

struct Params {
  cols: u32,       // outputs of this tile
  cols4: u32,      // vec4s in a row of the tile
  first_out: u32,  // first output of this tile
  first_tile: u32, // 1: nothing came before
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> targets: array<u32>;          // [head rows]
@group(0) @binding(3) var<storage, read_write> logits: array<vec4f>;   // [head rows, tile]
@group(0) @binding(4) var<storage, read_write> state: array<vec4f>;    // [head rows, 4]
@group(0) @binding(5) var<storage, read_write> logprob: array<f32>;    // [head rows]

const LOWEST = -1e30;

// Columns past the tile count as impossible.
fn load(at: u32, column: u32) -> vec4f {
  let columns = vec4u(column) + vec4u(0u, 1u, 2u, 3u);
  return select(vec4f(LOWEST), logits[at], columns < vec4u(params.cols));
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= batch.head_rows) {
    return;
  }
  let base = row * params.cols4;
  var before = vec4f(LOWEST, 0.0, 0.0, 0.0);
  if (params.first_tile == 0u) {
    before = state[row];
  }
  var peak = vec4f(before.x);
  for (var i = 0u; i < params.cols4; i++) {
    peak = max(peak, load(base + i, i * 4u));
  }
  let top = max(max(peak.x, peak.y), max(peak.z, peak.w));
  var target_logit = before.z;
  let local_target = targets[row] - params.first_out;  // wraps for smaller ids, and then is too large
  if (local_target < params.cols) {
    target_logit = logits[base + local_target / 4u][local_target % 4u];
  }
  var sums = vec4f();
  for (var i = 0u; i < params.cols4; i++) {
    let weights = exp(load(base + i, i * 4u) - vec4f(top));
    sums += weights;
    if (GRADIENT) { logits[base + i] = weights; }
  }
  let factor = exp(before.x - top);
  let sum = before.y * factor + ((sums.x + sums.y) + (sums.z + sums.w));
  state[row] = vec4f(top, sum, target_logit, factor);
  logprob[row] = target_logit - top - log(sum);
}
