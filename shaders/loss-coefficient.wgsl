// c = dLoss/dlogprob of each head row, for the built-in losses: what the head's gradient is multiplied by. It runs between
// the head's forward and backward pass, so that no log-probability has to be read back inside a step.
// inputs = (weight or advantage, q, lower bound or beta, upper bound), r = exp(logprob - q).
// CPU twin: src/engine/reference/losses.ts; test: src/engine/ops/loss.test.ts.
//#include lib/batch

// The order of LOSS_NAMES in src/engine/train/losses.ts.
const CROSS_ENTROPY = 0u;
const IMPORTANCE_SAMPLING = 1u;
const PPO = 2u;
const CISPO = 3u;

// The largest exponent that no rounding of exp takes to infinity.
const LARGEST = 88.0;

@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<storage, read> logprob: array<f32>;             // [head rows]
@group(0) @binding(2) var<storage, read> inputs: array<vec4f>;            // [head rows, 4]
@group(0) @binding(3) var<storage, read_write> coefficient: array<f32>;   // [head rows]

fn slope(p: f32, row: vec4f) -> f32 {
  let signal = row.x;
  let low = row.z;
  let high = row.w;
  let difference = p - row.y;
  // Compared and bounded, so finite: WGSL lets compilers assume that no float is infinite.
  let r = exp(min(difference, LARGEST));
  switch batch.loss {
    case CROSS_ENTROPY: {
      return -signal;
    }
    case IMPORTANCE_SAMPLING: {
      return -exp(difference) * signal;
    }
    case PPO: {
      let clipped = select((r < low), (r > high), signal > 0.0);
      return select(-exp(difference) * signal, 0.0, clipped);
    }
    case CISPO: {
      return -min(max(r, low), high) * signal;
    }
    default: {
      return -(signal - low * difference);
    }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= batch.head_rows) {
    return;
  }
  let at = inputs[row];
  // A signal of 0 is a mask: 0 times an infinite ratio would be no number.
  let masked = at.x == 0.0 && batch.loss >= IMPORTANCE_SAMPLING && batch.loss <= CISPO;
  var c = 0.0;
  if (!masked) {
    c = slope(logprob[row], at);
  }
  coefficient[row] = c;
}
