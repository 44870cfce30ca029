/** Runs and checkpoints in JSON. */
import { formatPath, kindOf, parseCheckpointPath } from '../paths.ts';
import type { Checkpoint, CheckpointType, TrainingRun, WeightsInfoResponse } from '../types.ts';
import { invalidAnswer } from './answer.ts';
import { isJson, reader, utcTime, type Json } from './wire-read.ts';

function textRecord(value: unknown): Record<string, string> | undefined {
  if (!isJson(value)) return undefined;
  return Object.fromEntries(
    Object.entries(value).map(([k, v]) => [k, typeof v === 'string' ? v : JSON.stringify(v)]),
  );
}

/** Snapshots that were saved without a name are listed as `ss<session>_seq<n>`. */
const EPHEMERAL = /^ss\d+_seq\d+$/;

/**
 * One row. The path and id become those of three segments: some servers write the bare name. `sequence` is filled in by
 * `decodeCheckpoints`.
 */
export function decodeCheckpoint(value: unknown, what: string): Checkpoint {
  const r = reader(value, what);
  const type = r.text('checkpoint_type');
  if (type !== 'training' && type !== 'sampler')
    throw invalidAnswer(what, `has the checkpoint type ${JSON.stringify(type)}`);
  const rawPath = r.optionalText('tinker_path') ?? r.text('path');
  const parsed = parseCheckpointPath(rawPath);
  const name = parsed.name;
  const time = utcTime(r.text('time'));
  const checkpointType: CheckpointType = type;
  const checkpoint: Checkpoint = {
    checkpointId: `${kindOf(checkpointType)}/${name}`,
    checkpointType,
    time,
    path: formatPath('tinker', parsed.runId, checkpointType, name),
    rawPath,
    public: r.optionalBoolean('public') ?? false,
    name: `${parsed.runId}/${kindOf(checkpointType)}/${name}`,
    createTime: time,
    updateTime: time,
    encoding: 'base',
    promotable: false,
    sequence: 0,
    pinned: false,
    state: 'complete',
    storage: 'remote',
  };
  const sizeBytes = r.optionalNumber('size_bytes');
  const expiresAt = r.optionalText('expires_at');
  const baseModel = r.optionalText('base_model');
  const userMetadata = textRecord((value as Json)['user_metadata']);
  if (sizeBytes !== undefined) checkpoint.sizeBytes = sizeBytes;
  if (expiresAt !== undefined) checkpoint.expiresAt = utcTime(expiresAt);
  if (baseModel !== undefined) checkpoint.baseModel = baseModel;
  if (userMetadata !== undefined) checkpoint.userMetadata = userMetadata;
  if (EPHEMERAL.test(name)) checkpoint.tags = ['ephemeral'];
  return checkpoint;
}

/** The time of a row with the digits that Date drops, for ordering. */
const instant = ({ time }: Checkpoint): [number, string] => [
  Date.parse(time),
  /\.(\d+)/.exec(time)?.[1]?.padEnd(9, '0') ?? '',
];

/** Rows in the order in which they were saved, numbered from 1. */
export function decodeCheckpoints(values: readonly unknown[], what: string): Checkpoint[] {
  const rows = values.map((value) => decodeCheckpoint(value, what));
  const ordered = rows
    .map((row, i) => ({ row, at: instant(row), i }))
    .sort((a, b) => a.at[0] - b.at[0] || a.at[1].localeCompare(b.at[1]) || a.i - b.i);
  return ordered.map(({ row }, i) => ({ ...row, sequence: i + 1 }));
}

export function decodeTrainingRun(value: unknown, what: string): TrainingRun {
  const r = reader(value, what);
  const run: TrainingRun = {
    trainingRunId: r.text('training_run_id'),
    baseModel: r.text('base_model'),
    modelOwner: r.optionalText('model_owner') ?? '',
    isLora: r.optionalBoolean('is_lora') ?? true,
    corrupted: r.optionalBoolean('corrupted') ?? false,
    lastRequestTime: utcTime(r.optionalText('last_request_time') ?? ''),
  };
  const loraRank = r.optionalNumber('lora_rank');
  if (loraRank !== undefined) run.loraRank = loraRank;
  const json = value as Json;
  if (isJson(json['last_checkpoint'])) run.lastCheckpoint = decodeCheckpoint(json['last_checkpoint'], what);
  if (isJson(json['last_sampler_checkpoint'])) {
    run.lastSamplerCheckpoint = decodeCheckpoint(json['last_sampler_checkpoint'], what);
  }
  const userMetadata = textRecord(json['user_metadata']);
  if (userMetadata !== undefined) run.userMetadata = userMetadata;
  return run;
}

export function decodeWeightsInfo(value: unknown, what: string): WeightsInfoResponse {
  const r = reader(value, what);
  const info: WeightsInfoResponse = {
    baseModel: r.text('base_model'),
    isLora: r.optionalBoolean('is_lora') ?? true,
  };
  const loraRank = r.optionalNumber('lora_rank');
  const trainUnembed = r.optionalBoolean('train_unembed');
  const trainMlp = r.optionalBoolean('train_mlp');
  const trainAttn = r.optionalBoolean('train_attn');
  if (loraRank !== undefined) info.loraRank = loraRank;
  if (trainUnembed !== undefined) info.trainUnembed = trainUnembed;
  if (trainMlp !== undefined) info.trainMlp = trainMlp;
  if (trainAttn !== undefined) info.trainAttn = trainAttn;
  return info;
}
