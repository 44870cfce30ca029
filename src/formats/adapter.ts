/** A LoRA adapter as plain values: what the engine trains and what the PEFT reader and writer exchange. */

/** The settings that decide what an adapter computes. Field names follow PEFT's LoraConfig where it has one. */
export interface LoraSettings {
  rank: number;
  alpha: number;
  /** Probability that an input of the adapter is dropped while training. */
  dropout: number;
  /** Scale alpha / sqrt(rank) instead of alpha / rank. */
  rslora: boolean;
  /** Linear layers by their last name part, such as `q_proj`; sorted, never empty. */
  targetModules: string[];
  /**
   * Full module paths, sorted: present only when the adapter covers some of the modules of these names and not all
   * (an imported adapter may), so that a model's layers outside the list stay without one.
   */
  targetPaths?: string[];
  /** Rank per module path (without the `base_model.model.` prefix), where it differs. */
  rankPattern: Record<string, number>;
  /** Alpha per module path, where it differs. */
  alphaPattern: Record<string, number>;
}

/** One factor. `name` has no `base_model.model.` prefix, e.g. `model.layers.0.self_attn.q_proj.lora_A.weight`. */
export interface AdapterTensor {
  name: string;
  /** lora_A: [rank, in]; lora_B: [out, rank]; row-major. */
  shape: readonly [number, number];
  data: Float32Array<ArrayBuffer>;
}

export interface Adapter {
  settings: LoraSettings;
  /** `base_model_name_or_path` of the config; null when the file does not say. */
  baseModel: string | null;
  /** In the order of `named_parameters()` of the PEFT model: layer by layer, lora_A before lora_B. */
  tensors: AdapterTensor[];
}
