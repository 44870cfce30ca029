/** What resuming a checkpoint needs and promises, for the page to load and to show first. */
import { StudioError } from '../src/errors.ts';
import { restoreRun, resumePromise, stepsLeft } from '../src/run/restore.ts';
import type { CheckpointStore } from '../src/storage/checkpoint-store.ts';
import { keptRunFile } from '../src/storage/run-files.ts';
import type { CheckpointRow, ResumePlan } from './checkpoints-api.ts';
import { readRunSource } from './run-record.ts';

/**
 * Reads the checkpoint; damaged ones fall back to the newest good one of the run, which is said. Throws
 * STATE_INCOMPLETE, CHECKPOINT_DAMAGED, FORMAT_NEWER or what else keeps it from being resumed.
 */
export async function resumePlan(
  store: CheckpointStore,
  checkpointId: string,
  device: string,
  toRow: (record: Awaited<ReturnType<CheckpointStore['get']>>) => Promise<CheckpointRow>,
): Promise<ResumePlan> {
  const asked = await store.verify(checkpointId);
  const damaged: string[] = [];
  let record = asked;
  if (asked.damage !== null) {
    damaged.push(asked.name);
    const { checkpoint, damaged: others } = await store.latest(asked.runId);
    damaged.push(...others.map(({ name }) => name));
    if (checkpoint !== null) record = checkpoint;
  }
  const restored = await restoreRun((await store.open(record.id)).files());
  const { manifest, adapter, state, settings } = restored;
  if (stepsLeft(restored) <= 0) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `The run of ${record.name} is complete: all ${String(state.step)} steps are done.`,
      fix: 'Download it, or start a new run from its weights (warm start).',
    });
  }
  const run = await store.findRun(record.runId);
  const source = readRunSource(run.settings);
  const { name, ...dataOptions } = settings.data;
  const { rank, alpha, dropout, rslora, targetModules } = adapter.settings;
  const kept = source?.data.kind === 'demo' ? null : await keptRunFile(run.id);
  return {
    checkpoint: await toRow(record),
    model: source?.model ?? { kind: 'files', label: manifest.base.id },
    data: source?.data.kind === 'demo' ? source.data : { kind: 'file', name, file: kept },
    dataOptions,
    training: settings.training,
    lora: { rank, alpha, dropout, rslora, targets: targetModules },
    steps: state.scheduler.params.totalSteps,
    samplePrompt: source?.samplePrompt ?? '',
    sampleEvery: source?.sampleEvery ?? 0,
    promise: resumePromise(manifest, device),
    damaged,
  };
}
