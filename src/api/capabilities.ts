/** What a backend can do, feature by feature, for greying things out and for warnings before they are needed. */

export const FEATURES = [
  'forward',
  'forward_backward',
  'custom_loss',
  'loss_cross_entropy',
  'loss_importance_sampling',
  'loss_ppo',
  'loss_cispo',
  'loss_dro',
  'sum_reduction',
  'two_dimensional_targets',
  'images',
  'grad_clip',
  'grad_accumulation_normalization',
  'weight_decay',
  'lora_alpha',
  'target_modules',
  'train_flags',
  'pipelining',
  'idempotent_requests',
  'save_state',
  'save_metadata',
  'overwrite',
  'load_weights_only',
  'load_with_optimizer',
  'load_into_used_client',
  'sampler_weights',
  'ephemeral_sampler',
  'delta_checkpoints',
  'sample',
  'sample_old_snapshot',
  'sample_stream',
  'prompt_logprobs',
  'topk_prompt_logprobs',
  'hot_load',
  'list_checkpoints',
  'list_user_checkpoints',
  'search_checkpoints',
  'delete_checkpoint',
  'publish',
  'ttl',
  'archive',
  'archive_of_training_state',
  'promote',
  'copy_weights',
  'import_adapter',
  'external_store',
  'sessions',
  'billing',
] as const;

export type Feature = (typeof FEATURES)[number];

export type Support = 'native' | 'emulated' | 'differs' | 'unsupported';

export interface Capability {
  support: Support;
  /** One sentence for people. */
  note: string;
}

export interface CapabilityReport {
  backend: 'local' | 'remote';
  /** The protocol's dialect, where there is one. */
  dialect: string | null;
  /** What the server says it is, and what was found out by trying. */
  server: string | null;
  features: Readonly<Record<Feature, Capability>>;
}
