/** Checkpoints of a small adapter in a store, for the tests that need no GPU. */
import type { FileEntry } from '../formats/file-entry.ts';
import { contentEntries, describeAdapter } from '../formats/archive-write.ts';
import { manifestLora } from '../formats/manifest.ts';
import { stateEntries } from '../formats/state-files.ts';
import { testAdapter } from '../formats/testing-adapter.ts';
import { testExport } from '../formats/testing-export.ts';
import { testState } from '../formats/testing-state.ts';
import type { TrainingState } from '../formats/training-state.ts';
import { flattenSettings } from '../run/run-settings.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import type { NewCheckpoint } from '../storage/new-checkpoint.ts';
import type { CheckpointRecord } from '../storage/records.ts';
import { HARD_TRAINING } from './testing-settings.ts';
import { beginRun } from './training-run.ts';

export const TEST_SETTINGS = {
  data: {
    name: 'pirates.jsonl',
    trainOn: 'completion' as const,
    chat: false,
    maxLength: 512,
    evalSplit: 0,
    seed: 11,
  },
  training: { ...HARD_TRAINING, steps: 20 },
};

/** What a run would save at step 10; `shift` is added to every weight. */
export async function wholeCheckpoint(
  changes: Partial<NewCheckpoint> = {},
  shift = 0,
  state: Partial<TrainingState> = {},
): Promise<NewCheckpoint> {
  const adapter = testAdapter();
  for (const tensor of adapter.tensors) tensor.data = tensor.data.map((value) => value + shift);
  const { base, optimizer, determinism, run } = testExport();
  const settings = flattenSettings(TEST_SETTINGS);
  const stateFiles: FileEntry[] = stateEntries(testState(adapter, { settings, ...state }), adapter);
  return {
    name: 'step-000010',
    step: 10,
    kind: 'full',
    trigger: 'steps',
    parts: contentEntries({ ...testExport(), adapter, stateFiles }),
    manifest: {
      base,
      lora: manifestLora(adapter.settings),
      optimizer,
      determinism,
      appVersion: run.appVersion,
      ...(await describeAdapter(adapter, 'F32')),
    },
    metrics: { loss: 1.25 },
    ...changes,
  };
}

/** Saves checkpoints into a new run. */
export async function saveInto(
  store: CheckpointStore,
  runName: string,
  inputs: readonly NewCheckpoint[],
): Promise<CheckpointRecord[]> {
  const { writer } = await beginRun(store, { name: runName });
  const saved: CheckpointRecord[] = [];
  for (const input of inputs) saved.push((await writer.save(input)).checkpoint);
  await writer.release();
  return saved;
}
