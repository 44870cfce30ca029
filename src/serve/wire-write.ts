/** Results and rows in JSON. Numbers that are not finite are written as text, which the protocol's readers take for numbers. */
import type { PathKind } from '../api/paths.ts';
import { formatPath, kindOf, parseCheckpointPath } from '../api/paths.ts';
import type {
  Checkpoint,
  ForwardBackwardOutput,
  GetInfoResponse,
  SampleResponse,
  TensorData,
  TrainingRun,
  WeightsInfoResponse,
} from '../api/types.ts';

type Json = Record<string, unknown>;

const number = (value: number): number | string => (Number.isFinite(value) ? value : String(value));

export const writeMetrics = (metrics: Readonly<Record<string, number>>): Json =>
  Object.fromEntries(Object.entries(metrics).map(([key, value]) => [key, number(value)]));

const writeTensor = ({ data, dtype, shape }: TensorData): Json => ({
  data: Array.from(data, Number).map(number),
  dtype,
  shape: shape ?? [data.length],
});

export const writePass = ({ lossFnOutputType, lossFnOutputs, metrics }: ForwardBackwardOutput): Json => ({
  loss_fn_output_type: lossFnOutputType,
  loss_fn_outputs: lossFnOutputs.map((output) =>
    Object.fromEntries(Object.entries(output).map(([key, tensor]) => [key, writeTensor(tensor)])),
  ),
  metrics: writeMetrics(metrics),
});

export const writeSample = (response: SampleResponse): Json => ({
  type: 'sample',
  sequences: response.sequences.map(({ stopReason, tokens, logprobs }) => ({
    stop_reason: stopReason,
    tokens,
    logprobs: logprobs?.map(number) ?? null,
  })),
  prompt_logprobs: response.promptLogprobs ?? null,
  topk_prompt_logprobs: response.topkPromptLogprobs ?? null,
  prompt_cache_hit_tokens: response.promptCacheHitTokens,
});

/** Every path goes out as `tinker://`: clients of the protocol take no other. */
export function tinkerPath(path: string): string {
  const { runId, checkpointType, name } = parseCheckpointPath(path);
  return formatPath('tinker', runId, checkpointType, name);
}

function textMetadata(row: Checkpoint): Record<string, string> | null {
  const entries = Object.entries(row.metadata ?? row.userMetadata ?? {});
  if (entries.length === 0) return null;
  return Object.fromEntries(entries.map(([key, v]) => [key, typeof v === 'string' ? v : JSON.stringify(v)]));
}

export const writeCheckpoint = (row: Checkpoint): Json => ({
  checkpoint_id: `${kindOf(row.checkpointType) satisfies PathKind}/${parseCheckpointPath(row.path).name}`,
  checkpoint_type: row.checkpointType,
  time: row.time,
  tinker_path: tinkerPath(row.path),
  size_bytes: row.sizeBytes ?? null,
  public: row.public,
  expires_at: row.expiresAt ?? null,
  base_model: row.baseModel ?? null,
  user_metadata: textMetadata(row),
});

export const writeRun = (run: TrainingRun): Json => ({
  training_run_id: run.trainingRunId,
  base_model: run.baseModel,
  model_owner: run.modelOwner,
  is_lora: run.isLora,
  corrupted: run.corrupted,
  lora_rank: run.loraRank ?? null,
  last_request_time: run.lastRequestTime === '' ? new Date(0).toISOString() : run.lastRequestTime,
  last_checkpoint: run.lastCheckpoint === undefined ? null : writeCheckpoint(run.lastCheckpoint),
  last_sampler_checkpoint:
    run.lastSamplerCheckpoint === undefined ? null : writeCheckpoint(run.lastSamplerCheckpoint),
  user_metadata: run.userMetadata ?? null,
});

export const writeWeightsInfo = (info: WeightsInfoResponse): Json => ({
  base_model: info.baseModel,
  is_lora: info.isLora,
  lora_rank: info.loraRank ?? null,
  lora_alpha: info.alpha ?? null,
  train_unembed: info.trainUnembed ?? null,
  train_mlp: info.trainMlp ?? null,
  train_attn: info.trainAttn ?? null,
});

export const writeInfo = (info: GetInfoResponse, modelId: string, tokenizer: string | null): Json => ({
  type: 'get_info',
  model_data: {
    arch: info.modelData.arch ?? null,
    model_name: info.modelData.modelName,
    tokenizer_id: tokenizer ?? info.modelData.tokenizerId ?? null,
  },
  model_id: modelId,
  is_lora: info.isLora,
  lora_rank: info.loraRank ?? null,
  model_name: info.modelName,
});
