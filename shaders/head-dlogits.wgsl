// Gradient of one vocabulary tile's logits, in place: dLogit = c * (onehot - softmax), with the sums of all tiles known.
// Used when the head itself is adapted; else head-softmax.wgsl and head-gradient.wgsl do without a second pass.
// CPU twin: src/engine/reference/head.ts; test: src/engine/ops/head.test.ts.
//#include lib/batch

struct Params {
  cols: u32,       // outputs of this tile
  cols4: u32,      // vec4s in a row of the tile
  first_out: u32,  // first output of this tile
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> targets: array<u32>;         // [head rows]
@group(0) @binding(3) var<storage, read> coefficient: array<f32>;     // [head rows]
@group(0) @binding(4) var<storage, read> state: array<vec4f>;         // [head rows, 4]: max, sum
@group(0) @binding(5) var<storage, read_write> logits: array<vec4f>;  // [head rows, tile]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  if (id.x >= params.cols4 || row >= batch.head_rows) {
    return;
  }
  let at = row * params.cols4 + id.x;
  let columns = vec4u(id.x * 4u) + vec4u(0u, 1u, 2u, 3u);
  let softmax = exp(logits[at] - vec4f(state[row].x)) / state[row].y;
  let onehot = select(vec4f(), vec4f(1.0), columns + vec4u(params.first_out) == vec4u(targets[row]));
  let gradient = coefficient[row] * (onehot - softmax);
  logits[at] = select(vec4f(), gradient, columns < vec4u(params.cols));
}
