/** The training state of an import, read whole before anything is stored: what could not be resumed is refused now. */
import { StudioError } from '../errors.ts';
import type { AdapterRead } from '../formats/archive-read.ts';
import { hasTrainerState, readHfTrainer, type HfTrainerRead } from '../formats/hf-trainer.ts';
import { isTrainerFile } from '../formats/hf-trainer.ts';
import { GRADIENTS_FILE, hasState, OPTIMIZER_FILE, readTrainingState } from '../formats/state-files.ts';
import type { ImportFiles } from './import-files.ts';

/** Tokenizers, metrics, cards. */
const MOST_BYTES = 64 * 2 ** 20;
const MOMENTS: readonly string[] = [OPTIMIZER_FILE, GRADIENTS_FILE, 'optimizer.pt'];

/**
 * Refuses files that are larger than they could be for this adapter: they would be held, and kept. Throws
 * INPUT_TOO_LARGE.
 */
export function checkSizes({ adapter, files, weights }: AdapterRead): void {
  const floats = adapter.tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
  const most = (path: string): number => MOST_BYTES + (MOMENTS.includes(path) ? 2 * floats : 0);
  const large = files.find(({ path, size }) => path !== weights && size > most(path));
  if (large === undefined) return;
  throw new StudioError({
    code: 'INPUT_TOO_LARGE',
    message: `${large.path} has ${String(large.size)} bytes; beside this adapter at most ${String(most(large.path))} make sense.`,
    fix: 'Check that this is the right file.',
  });
}

/** Reads the state of a Trainer beside an adapter. Throws what `readHfTrainer` and `checkSizes` throw. */
export async function readTrainer(files: ImportFiles): Promise<HfTrainerRead> {
  checkSizes(files.read);
  const names = files.read.files.map(({ path }) => path);
  const wanted = await files.open((path) => isTrainerFile(path) && !isIgnored(path));
  // Names decide which program wrote it, so all of them are shown; what is not wanted is never opened.
  const all = { label: files.label, names: () => names, open: (name: string) => wanted.open(name) };
  return readHfTrainer(all, files.read.adapter, { ordered: files.read.manifest !== null });
}

/** Trainer's settings are code and its random numbers of no use. */
export function isIgnored(path: string): boolean {
  return /^(rng_state|training_args|scaler)/.test(path);
}

/** Step and notes of the state; an adapter without one is at step 0. */
export async function checkState(files: ImportFiles): Promise<{ step: number; notes: readonly string[] }> {
  const { manifest, adapter, files: listed } = files.read;
  checkSizes(files.read);
  const names = listed.map(({ path }) => path);
  if (hasState(names)) {
    const state = await files.open((path) => path.startsWith('state/'));
    const { step } = await readTrainingState(state, adapter, manifest);
    return { step, notes: [] };
  }
  if (!hasTrainerState(names)) return { step: manifest?.step ?? 0, notes: [] };
  return readTrainer(files);
}
