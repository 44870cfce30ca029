/** Options as settings of a run, and the check that a resumed run is given no others. */
import { resolveTargets, type FinetuneConfig } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { OpenModel } from '../run/open-model.ts';
import type { PrepareOptions } from '../run/prepare-data.ts';
import type { LoraSettings } from '../formats/adapter.ts';
import type { RunSettings } from '../run/run-settings.ts';
import type { DataOptions, FinetuneOptions, TrainingOptions } from './options.ts';

/** The training that the options ask for. */
export function trainingOf(options: TrainingOptions): FinetuneConfig {
  const { epochs, batchSize, gradAccumulation, lr, schedule, warmupSteps, beta1, beta2, eps } = options;
  const { weightDecay, gradClip, seed, shuffle, evalEvery } = options;
  return {
    epochs,
    steps: options.steps ?? null,
    batchSize,
    gradAccumulation,
    learningRate: lr,
    schedule,
    warmupSteps,
    beta1,
    beta2,
    eps,
    weightDecay,
    gradClip,
    seed,
    shuffle,
    evalEvery,
  };
}

/** How the options ask for the data to be read. */
export function preparationOf(
  options: Omit<DataOptions, 'data'> & Pick<TrainingOptions, 'evalSplit' | 'seed'>,
): PrepareOptions {
  const { trainOn, chat, maxLength, evalSplit, seed } = options;
  return { trainOn, chat, maxLength, evalSplit, seed };
}

/** How a run was started. */
interface Started {
  settings: RunSettings;
  adapter: { settings: LoraSettings };
}

/** What is asked for and what the checkpoint has, by the names of the options. */
function asked(
  options: FinetuneOptions,
  { settings, adapter }: Started,
  { config }: Pick<OpenModel, 'config'>,
): [string, unknown, unknown][] {
  const { training, data } = settings;
  const { rank, alpha, dropout, rslora, targetModules } = adapter.settings;
  const targets = options.given.includes('targets')
    ? resolveTargets(config, options.targets).join(',')
    : null;
  const has = (length: number | null, other: string): number | string => length ?? other;
  return [
    ['rank', options.rank, rank],
    ['alpha', options.alpha, alpha],
    ['dropout', options.dropout, dropout],
    ['rslora', options.rslora, rslora],
    ['targets', targets, targetModules.join(',')],
    [
      'epochs',
      options.epochs,
      has(training.steps === null ? training.epochs : null, `--steps ${String(training.steps)}`),
    ],
    ['steps', options.steps, has(training.steps, `--epochs ${String(training.epochs)}`)],
    ['batchSize', options.batchSize, training.batchSize],
    ['gradAccumulation', options.gradAccumulation, training.gradAccumulation],
    ['lr', options.lr, training.learningRate],
    ['schedule', options.schedule, training.schedule],
    ['warmupSteps', options.warmupSteps, training.warmupSteps],
    ['beta1', options.beta1, training.beta1],
    ['beta2', options.beta2, training.beta2],
    ['eps', options.eps, training.eps],
    ['weightDecay', options.weightDecay, training.weightDecay],
    ['gradClip', options.gradClip, training.gradClip],
    ['seed', options.seed, training.seed],
    ['shuffle', options.shuffle, training.shuffle],
    ['evalEvery', options.evalEvery, training.evalEvery],
    ['evalSplit', options.evalSplit, data.evalSplit],
    ['maxLength', options.maxLength, data.maxLength],
    ['trainOn', options.trainOn, data.trainOn],
    ['chat', options.chat, data.chat],
  ];
}

const flag = (name: string): string =>
  `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/**
 * Throws for an option that was given and that the run was not started with: OPTION_INVALID, or ADAPTER_MISMATCH for the
 * adapter's own.
 */
export function checkGiven(
  options: FinetuneOptions,
  restored: Started,
  model: Pick<OpenModel, 'config'>,
): void {
  for (const [name, wanted, has] of asked(options, restored, model)) {
    if (!options.given.includes(name) || wanted === has) continue;
    const ofAdapter = ['rank', 'alpha', 'dropout', 'rslora', 'targets'].includes(name);
    throw new StudioError({
      code: ofAdapter ? 'ADAPTER_MISMATCH' : 'OPTION_INVALID',
      message: `${flag(name)} is ${String(wanted)}; the run was started with ${String(has)}.`,
      fix: `Leave ${flag(name)} out: a resumed run keeps its settings. For other ones, start a new run from its weights with --init-adapter.`,
    });
  }
}

/** Throws OPTION_INVALID for a name: a run that is gone on with has its own. */
export function checkNoName({ name }: FinetuneOptions, run: string): void {
  if (name === undefined || name === run) return;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `--name is ${name}; the run to be resumed is called ${run}.`,
    fix: `Leave --name out, or rename the run first with \`lorikeet checkpoints rename ${run} ${name}\`.`,
  });
}
