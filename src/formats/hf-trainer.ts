/**
 * The training state of a HuggingFace Trainer checkpoint (`checkpoint-N/`), written and read. What is exact across the
 * two programs: weights, moments, step and rate. What is not: the order of the data, and dropout.
 */
import type { Adapter } from './adapter.ts';
import { textEntry, type FileEntry } from './file-entry.ts';
import { readText, type FileSet } from './file-set.ts';
import { optimizerDict, OPTIMIZER_PT, readOptimizerDict, type HfAdamW } from './hf-optimizer.ts';
import { readSchedulerDict, schedulerDict, SCHEDULER_PT } from './hf-scheduler.ts';
import {
  MAX_TRAINER_STATE_BYTES,
  readTrainerState,
  TRAINER_STATE,
  trainerStateText,
  type HfTrainerState,
} from './hf-state.ts';
import {
  checkLikeAdapter,
  incompleteState,
  invalidState,
  unsupportedState,
  type Moments,
} from './moments.ts';
import { readTorchFile, torchFileEntry } from './torch-file.ts';
import { StudioError } from '../errors.ts';

export interface HfTrainerExport extends HfTrainerState {
  adapter: Pick<Adapter, 'tensors'>;
  moments: Moments;
  /** Steps that the optimizer and the schedule did. */
  optimizerStep: number;
  adamw: HfAdamW;
  peakLearningRate: number;
  /** The rate of the next step. */
  learningRate: number;
}

export interface HfTrainerRead extends Omit<HfTrainerExport, 'adapter'> {
  /** For the person: what was left out, and what could not be made sure of. */
  notes: readonly string[];
}

/** The three files that a Trainer resumes from, besides the adapter. */
export function hfTrainerEntries(state: HfTrainerExport): FileEntry[] {
  const { adapter, moments, optimizerStep, adamw, learningRate, peakLearningRate } = state;
  checkLikeAdapter('exp_avg', adapter, moments.expAvg);
  checkLikeAdapter('exp_avg_sq', adapter, moments.expAvgSq);
  const rates = { learningRate, peakLearningRate };
  return [
    torchFileEntry(OPTIMIZER_PT, optimizerDict({ step: optimizerStep, adamw, ...rates, moments })),
    torchFileEntry(SCHEDULER_PT, schedulerDict({ position: optimizerStep, ...rates })),
    textEntry(TRAINER_STATE, trainerStateText(state)),
  ];
}

/** Files of other programs that look alike, and what they are. */
const FOREIGN: readonly (readonly [RegExp, string])[] = [
  [
    /^(optimizer|scheduler|sampler|dl_state_dict)(_\d+)?\.bin$/,
    "a state of accelerate (save_state), which is not Trainer's",
  ],
  [/^random_states_\d+\.pkl$/, "a state of accelerate (save_state), which is not Trainer's"],
  [/^custom_checkpoint_\d+\.pkl$/, "a state of accelerate (save_state), which is not Trainer's"],
  [/^(zero_to_fp32\.py|global_step\d+\/)/, 'a state of DeepSpeed'],
  [/^(pytorch_model_fsdp_\d+|optimizer_\d+)\//, 'a state of FSDP'],
  [/^rank\d+-of-\d+-/, 'a state of FSDP'],
];

/** Files of Trainer that are not needed, and what was in them. */
const IGNORED: readonly (readonly [RegExp, string])[] = [
  [/^rng_state(_\d+)?\.pth$/, "the state of Python's random numbers"],
  [/^training_args\.bin$/, "Trainer's settings, stored as code"],
  [/^scaler\.pt$/, 'the loss scale of mixed precision'],
];

/** Whether a folder holds the state of a Trainer, or of something that looks like one. */
export function hasTrainerState(names: readonly string[]): boolean {
  return (
    [OPTIMIZER_PT, SCHEDULER_PT, TRAINER_STATE].some((name) => names.includes(name)) ||
    names.some((name) => FOREIGN.some(([pattern]) => pattern.test(name)))
  );
}

/** Whether Trainer writes a file of this name beside the model. */
export function isTrainerFile(name: string): boolean {
  return (
    [OPTIMIZER_PT, SCHEDULER_PT, TRAINER_STATE].includes(name) ||
    IGNORED.some(([pattern]) => pattern.test(name))
  );
}

function checkFiles(label: string, names: readonly string[]): string[] {
  for (const name of names) {
    const foreign = FOREIGN.find(([pattern]) => pattern.test(name));
    if (foreign !== undefined) {
      throw new StudioError({
        code: 'STATE_UNSUPPORTED',
        message: `${label} holds ${foreign[1]} (${name.slice(0, 80)}).`,
        fix: 'Save a checkpoint with Trainer on one device, or start from the adapter alone (warm start).',
      });
    }
  }
  const missing = [OPTIMIZER_PT, SCHEDULER_PT, TRAINER_STATE].filter((name) => !names.includes(name));
  if (missing.length > 0) {
    throw incompleteState(
      `${label} has no ${missing.join(' and no ')}; Trainer writes ${TRAINER_STATE} last`,
    );
  }
  return names.flatMap((name) => {
    const ignored = IGNORED.find(([pattern]) => pattern.test(name));
    return ignored === undefined ? [] : [`${name} is ignored: it holds ${ignored[1]}.`];
  });
}

/** Shapes that several parameters share, so that an exchange of two could not be seen. */
function hasTwins(adapter: Pick<Adapter, 'tensors'>): boolean {
  const shapes = adapter.tensors.map(({ shape }) => shape.join('x'));
  return new Set(shapes).size < shapes.length;
}

/**
 * Reads the state beside an adapter. `ordered` says that the adapter's order is known to be the right one (our own
 * manifest holds it). Throws STATE_INCOMPLETE, STATE_INVALID, STATE_UNSUPPORTED or TORCH_FILE_INVALID.
 */
export async function readHfTrainer(
  files: FileSet,
  adapter: Pick<Adapter, 'tensors'>,
  options: { ordered?: boolean } = {},
): Promise<HfTrainerRead> {
  const notes = checkFiles(files.label, files.names());
  const text = await readText(files, TRAINER_STATE, MAX_TRAINER_STATE_BYTES, 'STATE_INVALID');
  const { notFinite, ...state } = readTrainerState(text);
  const scheduler = readSchedulerDict(await readTorchFile(await files.open(SCHEDULER_PT)));
  const optimizer = await readOptimizerDict(await readTorchFile(await files.open(OPTIMIZER_PT)), adapter);
  const { learningRate, peakLearningRate } = scheduler;
  if (learningRate !== optimizer.learningRate || peakLearningRate !== optimizer.peakLearningRate) {
    throw invalidState(
      `${SCHEDULER_PT} and ${OPTIMIZER_PT} are of different runs: their rates are ${String(learningRate)} and ${String(optimizer.learningRate)}`,
    );
  }
  if (optimizer.step > state.step || scheduler.position > state.step) {
    throw invalidState(
      `${OPTIMIZER_PT} is at step ${String(optimizer.step)}, ${TRAINER_STATE} at ${String(state.step)}`,
    );
  }
  if (scheduler.position !== optimizer.step) {
    throw unsupportedState(
      `a schedule at step ${String(scheduler.position)} and an optimizer at step ${String(optimizer.step)}`,
    );
  }
  if (notFinite.length > 0)
    notes.push(`Figures that are not numbers were left out: ${notFinite.join(', ')}.`);
  if (!optimizer.byName && options.ordered !== true && hasTwins(adapter)) {
    notes.push(
      'optimizer.pt has no names. Its parameters were matched by the order of the model; an exchange of two of the same shape would not be seen.',
    );
  }
  if (optimizer.step < state.step) {
    notes.push(
      `The optimizer did ${String(optimizer.step)} of ${String(state.step)} steps; mixed precision skipped the others.`,
    );
  }
  return {
    ...state,
    moments: optimizer.moments,
    optimizerStep: optimizer.step,
    adamw: optimizer.adamw,
    learningRate,
    peakLearningRate,
    notes,
  };
}
