/** What an adapter is that was dropped or picked, and what can be done with it. */
import { layoutAdapter } from '../engine/index.ts';
import { StudioError, toErrorFields } from '../errors.ts';
import type { AdapterRead } from '../formats/archive-read.ts';
import { hasTrainerState } from '../formats/hf-trainer.ts';
import { MLX_WEIGHTS } from '../formats/mlx-adapter.ts';
import { hasState } from '../formats/state-files.ts';
import { fitSchedule } from '../run/fit-schedule.ts';
import { checkBase } from '../run/restore.ts';
import type { ImportFiles } from './import-files.ts';
import { readTrainer } from './import-state.ts';
import type { LoadedModel, Peek, PeekAbout } from './peek.ts';

export const bytesText = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

export const sentence = ({ message, fix }: Pick<StudioError, 'message' | 'fix'>): string =>
  `${message} ${fix}`;

/** Why an adapter does not go with the loaded model; null when it does. */
function misfit(read: AdapterRead, loaded: LoadedModel): string | null {
  try {
    if (read.manifest !== null) checkBase(read.manifest.base, loaded);
    const layout = layoutAdapter(loaded.config, read.adapter.settings);
    const known = new Map(
      layout.modules.flatMap(({ path, rank, in: inSize, out }) => [
        [`${path}.lora_A.weight`, `${String(rank)}x${String(inSize)}`],
        [`${path}.lora_B.weight`, `${String(out)}x${String(rank)}`],
      ]),
    );
    const wrong = read.adapter.tensors.find(({ name, shape }) => known.get(name) !== shape.join('x'));
    if (wrong === undefined && known.size === read.adapter.tensors.length) return null;
    const what = wrong === undefined ? 'the number of its layers' : wrong.name;
    return `It does not fit ${loaded.id}: ${what} differs. Load its base model.`;
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    return sentence(error);
  }
}

/** What the state of a Trainer says: a step, or why the run cannot go on from it. */
interface TrainerLook {
  step: number | null;
  steps: number | null;
  blocked: string | null;
  notes: readonly string[];
}

async function lookAtTrainer(files: ImportFiles): Promise<TrainerLook> {
  try {
    const hf = await readTrainer(files);
    const { step, maxSteps: steps, notes } = hf;
    if (fitSchedule(hf) === null) {
      const why = 'Its learning-rate schedule cannot be told from its files.';
      return { step, steps, blocked: `${why} A warm start takes its weights.`, notes };
    }
    const how = 'A Trainer checkpoint is resumed by the command line: lorikeet finetune --resume.';
    return { step, steps, blocked: step >= steps ? 'Its run is complete.' : how, notes };
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    return { step: null, steps: null, blocked: sentence(error), notes: [] };
  }
}

const TITLES = {
  lorikeet: 'Adapter of Lorikeet, without training state',
  trainer: 'Checkpoint of a HuggingFace Trainer',
  service: 'Adapter of a training service',
  mlx: 'Adapter of MLX',
  peft: 'Adapter of PEFT',
} as const satisfies Record<PeekAbout['source'], string>;

function sourceOf({ manifest, weights }: AdapterRead, names: readonly string[]): PeekAbout['source'] {
  if (hasTrainerState(names)) return 'trainer';
  if (manifest !== null) return 'lorikeet';
  if (names.includes('checkpoint_complete')) return 'service';
  return weights === MLX_WEIGHTS ? 'mlx' : 'peft';
}

/** The facts in the order in which they are shown. */
export function factsOf(about: PeekAbout, saved: { name: string; createdAt: string } | null): Peek['facts'] {
  const { baseModel, rank, alpha, targets, step, steps, bytes, files } = about;
  const number = (value: number | null): string => (value === null ? 'not said' : String(value));
  return [
    { label: 'Base model', value: baseModel ?? 'not said' },
    { label: 'Rank', value: number(rank) },
    { label: 'Alpha', value: number(alpha) },
    { label: 'Layers', value: targets.join(', ') || 'not said' },
    ...(saved === null ? [] : [{ label: 'Checkpoint', value: saved.name }]),
    ...(step === null
      ? []
      : [{ label: 'Step', value: steps === null ? String(step) : `${String(step)} of ${String(steps)}` }]),
    ...(saved === null ? [] : [{ label: 'Saved', value: saved.createdAt }]),
    ...(files === null
      ? []
      : [{ label: 'Size', value: `${bytesText(bytes ?? 0)} in ${String(files)} files` }]),
  ];
}

function otherBase({ manifest, adapter }: AdapterRead, loaded: LoadedModel): string[] {
  const said = adapter.baseModel;
  if (manifest !== null || said === null || said === loaded.id) return [];
  return [`It says that it was trained on ${said}; its shapes fit ${loaded.id}, which is loaded.`];
}

/** Describes an adapter that was read. */
export async function adapterPeek(
  name: string,
  files: ImportFiles,
  loaded: LoadedModel | null,
): Promise<Peek> {
  const { read } = files;
  const { manifest, adapter, files: listed } = read;
  const names = listed.map(({ path }) => path);
  const source = sourceOf(read, names);
  const full = manifest?.kind === 'full' && hasState(names);
  const trainer = source === 'trainer' ? await lookAtTrainer(files) : null;
  const wrong = loaded === null ? null : misfit(read, loaded);
  const about: PeekAbout = {
    source,
    baseModel: manifest?.base.id ?? adapter.baseModel,
    rank: adapter.settings.rank,
    alpha: adapter.settings.alpha,
    targets: [...adapter.settings.targetModules],
    step: manifest?.step ?? trainer?.step ?? null,
    steps: trainer?.steps ?? null,
    hasState: full || (trainer !== null && trainer.step !== null),
    bytes: listed.reduce((sum, file) => sum + file.size, 0),
    files: listed.length,
    fits: loaded === null ? null : wrong === null,
  };
  const resume = full
    ? null
    : (trainer?.blocked ?? 'It has no training state. A warm start takes its weights.');
  const unreadable = trainer !== null && trainer.step === null ? trainer.blocked : null;
  return {
    kind: full ? 'checkpoint' : source === 'trainer' ? 'trainer' : 'adapter',
    title: full ? 'Checkpoint of Lorikeet, with everything to resume' : TITLES[source],
    name,
    about,
    facts: factsOf(about, manifest),
    actions: [
      { name: 'add', blocked: unreadable },
      { name: 'resume', blocked: resume },
      { name: 'warm-start', blocked: loaded === null ? 'Load its base model first.' : wrong },
    ],
    notes: [
      ...read.warnings,
      ...(trainer?.notes ?? []),
      ...(loaded === null || wrong !== null ? [] : otherBase(read, loaded)),
    ],
    error: null,
  };
}

/** Describes an adapter that cannot be used here, by what its config says of it. */
export function unusablePeek(name: string, about: PeekAbout, error: StudioError): Peek {
  const why = sentence(error);
  const unsupported = error.code === 'ADAPTER_UNSUPPORTED';
  return {
    kind: 'adapter',
    title: unsupported ? 'Adapter of a kind that is not computed here' : 'Adapter that is not sound',
    name,
    about,
    facts: factsOf(about, null),
    actions: (['add', 'resume', 'warm-start'] as const).map((action) => ({ name: action, blocked: why })),
    notes: [],
    error: toErrorFields(error),
  };
}
