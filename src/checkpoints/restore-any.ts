/** A checkpoint of any kind, as far as a run can go on from it: one of our own, or a HuggingFace Trainer's. */
import type { Schedule } from '../engine/index.ts';
import type { Adapter } from '../formats/adapter.ts';
import { readAdapterFolder } from '../formats/archive-read.ts';
import { withoutCommonFolder, type FileSet } from '../formats/file-set.ts';
import { hasTrainerState, readHfTrainer, type HfTrainerRead } from '../formats/hf-trainer.ts';
import { restoreRun, type RestoredRun } from '../run/restore.ts';
import { trainerSchedule, type WantedSchedule } from './resume-trainer.ts';

export type Restored =
  | { kind: 'full'; restored: RestoredRun }
  /** `restoredFromTrainer` makes a run of it, with the settings that it does not say. */
  | { kind: 'hf-trainer'; adapter: Adapter; hf: HfTrainerRead; schedule: Schedule };

/**
 * Reads the state of a checkpoint. `wanted` is a Trainer's schedule as the person knows it: its files give rates, which
 * several may have in common. Throws STATE_INCOMPLETE for an adapter without one or with parts missing,
 * STATE_UNSUPPORTED where a Trainer's schedule cannot be told, and what reading the files throws.
 */
export async function restoreAny(given: FileSet, wanted?: WantedSchedule): Promise<Restored> {
  const files = withoutCommonFolder(given);
  if (!hasTrainerState(files.names())) return { kind: 'full', restored: await restoreRun(files) };
  const { adapter, manifest } = await readAdapterFolder(files);
  // Our own manifest holds the order of the parameters.
  const hf = await readHfTrainer(files, adapter, { ordered: manifest !== null });
  return { kind: 'hf-trainer', adapter, hf, schedule: trainerSchedule(hf, wanted) };
}
