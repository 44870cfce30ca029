/** The bodies of requests, as the protocol writes them. Unknown fields are ignored; what is there must be what it is. */
import { z } from 'zod';

const text = z.string().min(1).max(1024);
const whole = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const token = z.number().int();
/** Metadata of a person: text, and what becomes text. */
const metadata = z.record(z.string().max(255), z.unknown()).nullish();

const image = {
  format: z.enum(['png', 'jpeg']),
  expected_tokens: whole.nullish(),
};

export const chunkSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('encoded_text'), tokens: z.array(token) }),
  z.object({ type: z.literal('image'), data: z.string(), ...image }),
  z.object({ type: z.literal('image_asset_pointer'), location: z.string(), ...image }),
  z.object({ type: z.literal('dmel'), dmel: z.string() }),
]);

const tensorSchema = z.object({
  data: z.array(z.number()),
  dtype: z.enum(['int64', 'float32']).nullish(),
  shape: z.array(whole).max(4).nullish(),
  sparse_crow_indices: z.array(whole).nullish(),
  sparse_col_indices: z.array(whole).nullish(),
});

export const passSchema = z.object({
  data: z
    .array(
      z.object({
        model_input: z.object({ chunks: z.array(chunkSchema) }),
        loss_fn_inputs: z.record(z.string().max(64), tensorSchema),
      }),
    )
    .min(1),
  loss_fn: z.string().max(64),
  loss_fn_config: z.record(z.string().max(64), z.number()).nullish(),
});
export type WirePass = z.infer<typeof passSchema>;

/** What every request of a model has. Without a number it goes behind all that came so far. */
const turn = { model_id: text, seq_id: whole.nullish() };

export const turnSchema = z.object(turn);
export const forwardSchema = z.object({ ...turn, forward_input: passSchema });
export const forwardBackwardSchema = z.object({
  ...turn,
  forward_backward_input: passSchema,
  forward_only: z.boolean().nullish(),
});

const adamSchema = z.object({
  type: z.string().max(64).nullish(),
  learning_rate: z.number().nullish(),
  beta1: z.number().nullish(),
  beta2: z.number().nullish(),
  eps: z.number().nullish(),
  weight_decay: z.number().nullish(),
  grad_clip_norm: z.number().nullish(),
});

export const optimStepSchema = z.object({
  ...turn,
  adam_params: adamSchema.nullish(),
  /** Of another optimizer, which is refused by its name. */
  optimizer_params: adamSchema.nullish(),
  grad_accumulation_normalization: z.enum(['none', 'num_loss_tokens', 'num_sequences']).nullish(),
  emit_grad_norm_metrics: z.enum(['off', 'basic', 'detailed']).nullish(),
});

const ttl = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER).nullish();

export const saveWeightsSchema = z.object({
  ...turn,
  path: z.string().max(1024),
  ttl_seconds: ttl,
  overwrite: z.boolean().nullish(),
  user_metadata: metadata,
});

export const saveSamplerSchema = z.object({
  ...turn,
  path: z.string().max(1024).nullish(),
  sampling_session_seq_id: whole.nullish(),
  kind: z.string().max(64).nullish(),
  ttl_seconds: ttl,
  user_metadata: metadata,
});

export const loadWeightsSchema = z.object({
  model_id: text.nullish(),
  seq_id: whole.nullish(),
  session_id: text.nullish(),
  model_seq_id: whole.nullish(),
  base_model: text.nullish(),
  user_metadata: metadata,
  path: z.string().max(2048),
  optimizer: z.boolean(),
  optimizer_config: z.object({ type: z.string().max(64) }).nullish(),
  weights_access_token: z.string().max(4096).nullish(),
});

export const createSessionSchema = z.object({
  tags: z.array(z.string().max(255)).max(100).nullish(),
  user_metadata: metadata,
  sdk_version: z.string().max(64).nullish(),
  project_id: z.string().max(255).nullish(),
  display_name: z.string().max(255).nullish(),
});
export const sessionSchema = z.object({ session_id: text });

export const createModelSchema = z.object({
  session_id: text,
  model_seq_id: whole,
  base_model: text,
  user_metadata: metadata,
  lora_config: z
    .object({
      rank: z.number().int(),
      seed: z.number().int().nullish(),
      /** Ours: servers of the family fix it at 32. */
      alpha: z.number().nullish(),
      train_unembed: z.boolean().nullish(),
      train_mlp: z.boolean().nullish(),
      train_attn: z.boolean().nullish(),
    })
    .nullish(),
  optimizer_config: z.object({ type: z.string().max(64) }).nullish(),
});
export const modelSchema = z.object({ model_id: text });

export const createSamplerSchema = z.object({
  session_id: text,
  sampling_session_seq_id: whole,
  base_model: text.nullish(),
  model_path: z.string().max(2048).nullish(),
});

export const samplerSchema = z.object({ sampling_session_id: text });

export const sampleSchema = z.object({
  sampling_session_id: text.nullish(),
  seq_id: whole.nullish(),
  base_model: text.nullish(),
  model_path: z.string().max(2048).nullish(),
  num_samples: z.number().int().min(1).max(4096).nullish(),
  prompt: z.object({ chunks: z.array(chunkSchema) }),
  sampling_params: z.object({
    max_tokens: z.number().int().nullish(),
    seed: z.number().int().nullish(),
    stop: z.union([z.string(), z.array(z.string()), z.array(token)]).nullish(),
    temperature: z.number().nullish(),
    top_k: z.number().int().nullish(),
    top_p: z.number().nullish(),
  }),
  prompt_logprobs: z.boolean().nullish(),
  topk_prompt_logprobs: whole.nullish(),
  prompt_logprobs_last_n: z.number().int().min(1).nullish(),
  topk_sample_logprobs: whole.nullish(),
  target_prompt_logprobs: z.unknown().optional(),
  prompt_alt_tokens_k: whole.nullish(),
  record_stability_info: z.boolean().nullish(),
});
export type WireSample = z.infer<typeof sampleSchema>;

export const futureSchema = z.object({
  request_id: text,
  allow_metadata_only: z.boolean().nullish(),
});

export const weightsInfoSchema = z.object({
  tinker_path: z.string().max(2048),
  weights_access_token: z.string().max(4096).nullish(),
});
export const ttlSchema = z.object({ ttl_seconds: ttl });
export const copySchema = z.object({
  session_id: text.nullish(),
  model_seq_id: whole.nullish(),
  source_path: z.string().max(2048),
  ttl_seconds: ttl,
  weights_access_token: z.string().max(4096).nullish(),
});

const count = (most: number, byDefault: number) =>
  z.coerce.number().int().min(1).max(most).default(byDefault);
const offset = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0);
/** Queries are text. */
export const pageQuery = z.object({ limit: count(1000, 100), offset });
export const runsQuery = z.object({
  limit: count(1000, 20),
  offset,
  access_scope: z.enum(['owned', 'accessible']).default('owned'),
  project_id: z.string().max(255).optional(),
});
export const archiveQuery = z.object({
  expires: z.string().max(20).optional(),
  signature: z.string().max(100).optional(),
});
