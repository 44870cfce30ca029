// Counter-based dropout: the mask of an element is a pure function of (seed, step, micro-batch, module, element), so the
// backward pass recomputes it. Generator: PCG hash (Jarzynski & Olano, "Hash Functions for GPU Rendering", JCGT 2020).
// CPU twin: src/engine/reference/dropout.ts.

fn pcg_hash(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

fn dropout_key(seed: u32, step: u32, micro: u32, layer_id: u32) -> u32 {
  return pcg_hash(layer_id ^ pcg_hash(micro ^ pcg_hash(step ^ pcg_hash(seed))));
}

// Factors of four neighbouring elements: 0 where dropped, else keep_scale.
fn dropout_mask(key: u32, element: u32, threshold: u32, keep_scale: f32) -> vec4f {
  let words = vec4u(
    pcg_hash(key ^ pcg_hash(element)), pcg_hash(key ^ pcg_hash(element + 1u)),
    pcg_hash(key ^ pcg_hash(element + 2u)), pcg_hash(key ^ pcg_hash(element + 3u)));
  return select(vec4f(keep_scale), vec4f(), words < vec4u(threshold));
}
