/**
 * Going on from a checkpoint of a HuggingFace Trainer. Weights, moments, step and rate are exact; the place in the data
 * is derived from the step, and the order of the rows and the dropout are this program's own.
 */
import { microBatchTokens, totalSteps, type Schedule } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { AdapterRead } from '../formats/archive-read.ts';
import type { HfTrainerRead } from '../formats/hf-trainer.ts';
import { manifestLora, type Manifest } from '../formats/manifest.ts';
import { unsupportedState } from '../formats/moments.ts';
import type { LoopState } from '../formats/training-state.ts';
import { packingName } from '../run/capture.ts';
import { hashRows } from '../run/data-hash.ts';
import { fitSchedule } from '../run/fit-schedule.ts';
import type { OpenModel } from '../run/open-model.ts';
import type { PreparedData } from '../run/prepare-data.ts';
import type { RestoredRun } from '../run/restore.ts';
import { flattenSettings, type RunSettings } from '../run/run-settings.ts';

/** What a person hears when a run goes on from a Trainer's checkpoint. */
export const TRAINER_PROMISE =
  'From a Trainer checkpoint weights, moments, step and learning rate are exact; the order of the rows and the dropout are not the same in two programs.';

/** The schedule that a Trainer's checkpoint is in the middle of. Throws STATE_UNSUPPORTED where it cannot be told. */
export function trainerSchedule(hf: HfTrainerRead, wanted?: WantedSchedule): Schedule {
  const schedule = fitSchedule(hf, wanted);
  if (schedule !== null) return schedule;
  const { message } = unsupportedState(
    wanted === undefined
      ? 'rates that do not tell its schedule apart, or one that is neither constant, linear nor cosine'
      : `rates that are not those of a ${wanted.name} schedule with ${String(wanted.warmupSteps)} warm-up steps`,
  );
  throw new StudioError({
    code: 'STATE_UNSUPPORTED',
    message,
    fix: 'Say which schedule it was (--schedule and --warmup-steps), or start from its adapter alone (warm start).',
  });
}

/** The schedule as the person knows it, where the rates alone do not tell. */
export type WantedSchedule = Pick<Schedule, 'name' | 'warmupSteps'>;

/** Steps are counted once here: a run whose optimizer was left out of some cannot go on as it was. */
function checkStep({ step, optimizerStep }: HfTrainerRead, { totalSteps: last }: Schedule): void {
  if (optimizerStep !== step) {
    throw unsupportedState(
      `an optimizer at step ${String(optimizerStep)} of a run at step ${String(step)}: mixed precision skipped the others`,
    );
  }
  if (step < last) return;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `The checkpoint is at step ${String(step)} of ${String(last)}, so its run is complete.`,
    fix: 'Start a new run from its adapter alone (warm start).',
  });
}

/** Figures of the log, in the order of their steps, under the names that they have here. */
function metricsOf(log: HfTrainerRead['log']): LoopState['metrics'] {
  const names = {
    loss: 'loss',
    grad_norm: 'gradNorm',
    learning_rate: 'lr',
    epoch: 'epoch',
    eval_loss: 'evalLoss',
  };
  const records = log.flatMap((entry) => {
    if (entry['loss'] === undefined && entry['eval_loss'] === undefined) return [];
    const record: Record<string, number> & { step: number } = { step: entry.step };
    for (const [theirs, ours] of Object.entries(names)) {
      const value = entry[theirs];
      if (value !== undefined) record[ours] = value;
    }
    return [record];
  });
  return records.sort((a, b) => a.step - b.step);
}

/**
 * A Trainer's checkpoint as a run of this program. `settings` give what the checkpoint does not say: rows per batch,
 * accumulation, seed, clipping; schedule, rates, betas and length come from the checkpoint. Throws STATE_UNSUPPORTED where
 * the schedule cannot be told or the optimizer was left out of some steps, and OPTION_INVALID where the run is complete.
 */
export function restoredFromTrainer(
  read: Pick<AdapterRead, 'adapter'>,
  hf: HfTrainerRead,
  settings: RunSettings,
  { model, data }: { model: OpenModel; data: PreparedData },
  wanted?: WantedSchedule,
): RestoredRun {
  const schedule = trainerSchedule(hf, wanted);
  checkStep(hf, schedule);
  const training = {
    ...settings.training,
    steps: schedule.totalSteps,
    learningRate: hf.peakLearningRate,
    schedule: schedule.name,
    warmupSteps: schedule.warmupSteps,
    beta1: hf.adamw.betas[0],
    beta2: hf.adamw.betas[1],
    eps: hf.adamw.eps,
    weightDecay: hf.adamw.weightDecay,
  };
  const whole: RunSettings = { data: settings.data, training };
  const rows = data.train.length;
  const taken = hf.step * training.batchSize * training.gradAccumulation;
  const { beta1, beta2, eps, weightDecay, gradClip } = training;
  const state: LoopState = {
    step: hf.step,
    microStep: 0,
    epoch: taken / rows,
    optimizer: {
      type: 'adamw',
      step: hf.optimizerStep,
      betas: [beta1, beta2],
      eps,
      weightDecay,
      gradClip,
    },
    moments: hf.moments,
    gradients: null,
    scheduler: {
      type: schedule.name,
      params: {
        learningRate: hf.peakLearningRate,
        warmupSteps: schedule.warmupSteps,
        totalSteps: totalSteps(training, rows),
      },
      position: hf.optimizerStep,
    },
    rng: { algo: 'philox4x32-10', seed: training.seed, counters: { step: hf.step, micro: 0 } },
    data: {
      datasetSha256: hashRows(data),
      rows,
      order: training.shuffle ? 'shuffled' : 'file',
      epoch: Math.floor(taken / rows),
      offset: taken % rows,
      packing: packingName(microBatchTokens(data, training)),
      tokenizerSha256: model.hashes.tokenizerSha256,
    },
    settings: flattenSettings(whole),
    best: null,
    lossTail: [],
    tokens: hf.tokens,
    metrics: metricsOf(hf.log),
    metadata: {},
  };
  return {
    manifest: foreignManifest(read, whole, model, hf.step),
    adapter: read.adapter,
    state,
    settings: whole,
  };
}

/** What a manifest would say of it: the base model is taken to be the one that is loaded, since the files do not say more. */
function foreignManifest(
  { adapter }: Pick<AdapterRead, 'adapter'>,
  { training }: RunSettings,
  model: OpenModel,
  step: number,
): Manifest {
  return {
    formatVersion: 1,
    kind: 'hf-trainer',
    id: '',
    runId: '',
    parentId: null,
    name: `step-${String(step)}`,
    step,
    createdAt: '',
    appVersion: '',
    base: { id: model.id, revision: model.revision, ...model.hashes },
    lora: manifestLora(adapter.settings),
    optimizer: {
      type: 'adamw',
      betas: [training.beta1, training.beta2],
      eps: training.eps,
      weightDecay: training.weightDecay,
    },
    paramOrder: [],
    tensors: {},
    files: [],
    metrics: {},
    determinism: { adapter: 'a HuggingFace Trainer', shaderHash: '', dtype: model.dtype },
    sha256Self: '0'.repeat(64),
  };
}
