/**
 * `checkpoints.jsonl` as the cookbooks write it: one line for each checkpoint. An export, never the truth. The files are
 * those of the host, which hands them in.
 */
import type { LoopState } from './types.ts';
import type { TrainingClient } from './training-client.ts';
import type { WarningSink } from './warnings.ts';

export interface CheckpointRecord {
  name: string;
  batch?: number;
  epoch?: number;
  final?: boolean;
  state_path?: string;
  sampler_path?: string;
  /** Keys that are not known here are kept. */
  [key: string]: unknown;
}

export interface TextFiles {
  /** Null when there is no such file. */
  read(path: string): Promise<string | null>;
  append(path: string, text: string): Promise<void>;
}

const FILE = 'checkpoints.jsonl';
const join = (folder: string): string => `${folder.replace(/\/+$/, '')}/${FILE}`;

/** The records of a file, oldest first. A line that is broken is skipped with a warning. */
export function parseCheckpointsFile(text: string, warnings: WarningSink): CheckpointRecord[] {
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      value = null;
    }
    if (
      typeof value === 'object' &&
      value !== null &&
      typeof (value as { name?: unknown }).name === 'string'
    ) {
      return [value as CheckpointRecord];
    }
    warnings.warn({
      code: 'CHECKPOINT_FILE_LINE',
      message: `Line ${String(i + 1)} of ${FILE} is no record and was skipped.`,
    });
    return [];
  });
}

export async function loadCheckpointsFile(
  files: TextFiles,
  folder: string,
  warnings: WarningSink,
): Promise<CheckpointRecord[]> {
  return parseCheckpointsFile((await files.read(join(folder))) ?? '', warnings);
}

/** The newest record that has the key; null where there is none. */
export async function getLastCheckpoint(
  files: TextFiles,
  folder: string,
  warnings: WarningSink,
  requiredKey = 'state_path',
): Promise<CheckpointRecord | null> {
  const records = await loadCheckpointsFile(files, folder, warnings);
  return (
    records.findLast((record) => record[requiredKey] !== undefined && record[requiredKey] !== null) ?? null
  );
}

export interface SaveRecordOptions {
  kind?: 'state' | 'sampler' | 'both';
  ttlSeconds?: number | null;
}

/** Saves a client under a name and, when that is done, writes the record. */
export async function saveCheckpoint(
  client: TrainingClient,
  name: string,
  files: TextFiles,
  folder: string,
  loopState: LoopState & Record<string, unknown>,
  { kind = 'both', ttlSeconds = null }: SaveRecordOptions = {},
): Promise<CheckpointRecord> {
  const state = kind === 'sampler' ? null : client.saveState(name, { loopState, ttlSeconds });
  const sampler = kind === 'state' ? null : client.saveWeightsForSampler(name, { ttlSeconds });
  const record: CheckpointRecord = { name, batch: loopState.nextBatch ?? loopState.step };
  if (loopState.epoch !== undefined) record.epoch = loopState.epoch;
  if (state !== null) record.state_path = (await state).path;
  if (sampler !== null) record.sampler_path = (await sampler).path;
  await files.append(join(folder), `${JSON.stringify(record)}\n`);
  return record;
}
