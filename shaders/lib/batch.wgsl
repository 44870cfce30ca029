// The uniform that every row-wise kernel shares: how much of the plan's bucket is in use this time.
// Written once per micro-batch by `src/engine/gpu/batch.ts`; the kernels bind it as `batch`.
struct Batch {
  tokens: u32,      // rows of the flat token axis in use
  head_rows: u32,   // rows that reach the output head
  key_offset: u32,  // rows already in the key/value cache (0 while training)
  seed: u32,        // dropout: seed of the run
  step: u32,        // dropout: optimizer step
  micro: u32,       // dropout: micro-batch within the step
  scale: f32,       // multiplies every adapter's scale (1; 0 = base model)
  loss: u32,        // which loss (src/engine/train/losses.ts)
}
