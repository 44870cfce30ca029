/**
 * A checkpoint read back, as far as a run can go on from it, and the checks that it goes on as the same run. Nothing is
 * reset: what is missing or does not fit refuses the resumption by its own name.
 */
import type { AdapterStart, RunPosition } from '../engine/index.ts';
import { shaderSources, totalSteps } from '../engine/index.ts';
import { StudioError, type ErrorCode } from '../errors.ts';
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import type { FileSet } from '../formats/file-set.ts';
import { readPeftFolder } from '../formats/import-layout.ts';
import { MANIFEST_FILE, MAX_MANIFEST_BYTES, parseManifest, type Manifest } from '../formats/manifest.ts';
import { incompleteState } from '../formats/moments.ts';
import { readText } from '../formats/file-set.ts';
import { sha256Hex } from '../formats/sha256.ts';
import { hasState, readTrainingState } from '../formats/state-files.ts';
import { loopState, rowsTaken, type LoopState } from '../formats/training-state.ts';
import { packingName, type RunIdentity } from './capture.ts';
import type { OpenModel } from './open-model.ts';
import { differingSettings, readSettings, type RunSettings } from './run-settings.ts';

/** Everything that a checkpoint gives a run to go on with. */
export interface RestoredRun {
  manifest: Manifest;
  adapter: Adapter;
  state: LoopState;
  settings: RunSettings;
}

/** Reads a full checkpoint. Throws STATE_INCOMPLETE for one that holds only an adapter, or lacks a part. */
export async function restoreRun(files: FileSet): Promise<RestoredRun> {
  const names = files.names();
  if (!names.includes(MANIFEST_FILE) || !hasState(names)) {
    throw incompleteState(`${files.label} holds an adapter and no training state, so it cannot be resumed`);
  }
  const text = await readText(files, MANIFEST_FILE, MAX_MANIFEST_BYTES, 'ARCHIVE_INVALID');
  const manifest = parseManifest(text);
  const { adapter } = await readPeftFolder(files);
  const state = loopState(await readTrainingState(files, adapter, manifest));
  return { manifest, adapter, state, settings: readSettings(state.settings) };
}

/** Where a restored run stands. */
export function positionOf({ step, data }: Pick<LoopState, 'step' | 'data'>): RunPosition {
  return { step, rowsTaken: rowsTaken(data) };
}

/** What a session starts from: weights, moments, and gradients where some were accumulated. */
export function sessionStart({ adapter, state }: RestoredRun): AdapterStart {
  const { moments, gradients } = state;
  return {
    tensors: adapter.tensors,
    moments: { expAvg: moments.expAvg, expAvgSq: moments.expAvgSq },
    ...(gradients === null ? {} : { grads: gradients }),
  };
}

const WARM = 'To use its weights alone with other settings, start a new run from the adapter (warm start).';

function refuse(code: ErrorCode, message: string, fix: string): never {
  throw new StudioError({ code, message, fix: `${fix} ${WARM}` });
}

/** Whether an adapter's base model is this one, by the model's configuration and weights. Throws BASE_MISMATCH or TOKENIZER_MISMATCH. */
export function checkBase(base: Manifest['base'], model: Pick<OpenModel, 'id' | 'hashes'>): void {
  const { hashes } = model;
  if (base.configSha256 !== hashes.configSha256) {
    refuse(
      'BASE_MISMATCH',
      `The checkpoint was trained on ${base.id}, and ${model.id} is loaded: its config.json is another one.`,
      `Load ${base.id}.`,
    );
  }
  const weights = hashes.weightsSha256;
  if (base.weightsSha256 !== undefined && weights !== undefined && base.weightsSha256 !== weights) {
    refuse(
      'BASE_MISMATCH',
      `The checkpoint was trained on ${base.id}, and the weights of ${model.id} are other ones.`,
      `Load the copy of ${base.id} that the run was started with.`,
    );
  }
  if (base.tokenizerSha256 !== hashes.tokenizerSha256) {
    refuse(
      'TOKENIZER_MISMATCH',
      `The checkpoint was trained with another tokenizer than that of ${model.id}.`,
      'Load the model with the tokenizer files that the run was started with.',
    );
  }
}

const loraShape = (lora: LoraSettings): string => {
  const { rank, alpha, dropout, rslora, targetModules, targetPaths, rankPattern, alphaPattern } = lora;
  const patterns = [rankPattern, alphaPattern].map((map) =>
    JSON.stringify(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1))),
  );
  return JSON.stringify([rank, alpha, dropout, rslora, targetModules, targetPaths ?? null, ...patterns]);
};

/** Throws ADAPTER_MISMATCH, by the first difference, unless both adapters have the same form. */
export function checkLora(found: LoraSettings, wanted: LoraSettings): void {
  if (loraShape(found) === loraShape(wanted)) return;
  const facts: [string, string, string][] = [
    ['rank', String(found.rank), String(wanted.rank)],
    ['alpha', String(found.alpha), String(wanted.alpha)],
    ['dropout', String(found.dropout), String(wanted.dropout)],
    ['rsLoRA', String(found.rslora), String(wanted.rslora)],
    ['layers', found.targetModules.join(', '), wanted.targetModules.join(', ')],
  ];
  const [what, is, asked] = facts.find(([, a, b]) => a !== b) ?? ['settings per layer', 'other', 'others'];
  refuse(
    'ADAPTER_MISMATCH',
    `The checkpoint's adapter has ${what} ${is}, and the run has ${asked}.`,
    `Use ${what} ${is}.`,
  );
}

/**
 * Throws unless going on with these parts is the same run: base model, tokenizer, adapter, optimizer, data set,
 * schedule and packing, each with a code and a message of its own.
 */
export function checkResume(restored: RestoredRun, run: RunIdentity): void {
  const { manifest, adapter, state, settings } = restored;
  checkBase(manifest.base, run.model);
  checkLora(adapter.settings, run.lora);
  const { beta1, beta2, eps, weightDecay, gradClip } = run.settings.training;
  const { betas, ...optimizer } = state.optimizer;
  const ours = [beta1, beta2, eps, weightDecay, gradClip].join(', ');
  const theirs = [...betas, optimizer.eps, optimizer.weightDecay, optimizer.gradClip].join(', ');
  if (ours !== theirs) {
    refuse(
      'OPTIMIZER_MISMATCH',
      `The checkpoint's AdamW has beta1, beta2, eps, weight decay and clipping ${theirs}; the run has ${ours}.`,
      'Use the same.',
    );
  }
  const { data } = state;
  if (data.datasetSha256 !== run.data.sha256 || data.rows !== run.data.rows) {
    refuse(
      'DATA_MISMATCH',
      `The checkpoint was trained on the rows of ${settings.data.name} (${String(data.rows)} rows), and ${run.settings.data.name} gives other rows (${String(run.data.rows)}).`,
      'Choose the data file that the run was started with, unchanged.',
    );
  }
  const differing = differingSettings(settings, run.settings);
  if (differing.length > 0) {
    refuse(
      'OPTION_INVALID',
      `The run was started with another ${differing.join(', ')}.`,
      'Leave these options out: a resumed run takes them from its checkpoint.',
    );
  }
  const { scheduler } = state;
  if (scheduler.params.totalSteps !== run.steps || data.packing !== packingName(run.maxTokens)) {
    refuse(
      'STATE_INVALID',
      `The checkpoint's run has ${String(scheduler.params.totalSteps)} steps and ${data.packing}; these settings give ${String(run.steps)} and ${packingName(run.maxTokens)}.`,
      'The checkpoint is of another version of the program.',
    );
  }
}

/** Steps that a restored run has still to do. */
export function stepsLeft({ state, settings }: RestoredRun): number {
  return totalSteps(settings.training, state.data.rows) - state.step;
}

export interface ResumePromise {
  /** Bit for bit, or within what the order of additions makes of it. */
  exact: boolean;
  /** In words, for the person. */
  text: string;
}

/** What going on from a checkpoint on this GPU promises. */
export function resumePromise(manifest: Pick<Manifest, 'determinism'>, device: string): ResumePromise {
  const { adapter, shaderHash } = manifest.determinism;
  if (adapter !== device.slice(0, 1024)) {
    return {
      exact: false,
      text: `The checkpoint was made on ${adapter}; on ${device} the run goes on within rounding, not bit for bit.`,
    };
  }
  if (shaderHash !== sha256Hex(shaderSources())) {
    return {
      exact: false,
      text: 'The checkpoint was made by another version of the kernels; the run goes on within rounding, not bit for bit.',
    };
  }
  return { exact: true, text: 'The same GPU and the same kernels: the run goes on bit for bit.' };
}
