/** A training state as the entries below `state/`, and back: strict both ways, nothing added and nothing left out. */
import type { z } from 'zod';
import { StudioError } from '../errors.ts';
import type { Adapter, AdapterTensor } from './adapter.ts';
import { textEntry, type FileEntry } from './file-entry.ts';
import { readText, someNames, type FileSet } from './file-set.ts';
import { decodeFloats, encodeFloats } from './float-codec.ts';
import type { Manifest } from './manifest.ts';
import {
  checkLikeAdapter,
  checkNotNegative,
  checkTensor,
  incompleteState,
  invalidState,
  type Moments,
} from './moments.ts';
import { KEY_PREFIX } from './peft-keys.ts';
import { sortedJson } from './peft-write.ts';
import { openSafetensors, type SafetensorsFile } from './safetensors-read.ts';
import { safetensorsEntry, type TensorToWrite } from './safetensors-write.ts';
import { parseStrictJson, parseStrictObject, type JsonObject } from './strict-json.ts';
import {
  checkConsistent,
  metricSchema,
  optimizerSchema,
  STATE_VERSION,
  trainerSchema,
  type MetricRecord,
  type OptimizerRecord,
  type TrainingState,
} from './training-state.ts';

export const STATE_FOLDER = 'state/';
export const OPTIMIZER_FILE = 'state/optimizer.safetensors';
export const GRADIENTS_FILE = 'state/gradients.safetensors';
export const TRAINER_FILE = 'state/trainer.json';
export const METRICS_FILE = 'state/metrics.jsonl';

const MAX_TRAINER_BYTES = 16 * 2 ** 20;
const MAX_METRICS_BYTES = 256 * 2 ** 20;

function tensorsToWrite(tensors: readonly AdapterTensor[], suffix: string): TensorToWrite[] {
  return tensors.map(({ name, shape, data }) => ({
    name: `${KEY_PREFIX}${name}.${suffix}`,
    dtype: 'F32',
    shape,
    bytes: () => encodeFloats('F32', data),
  }));
}

/** Safetensors metadata is text to text: each value as JSON. */
function optimizerMetadata(optimizer: OptimizerRecord): Record<string, string> {
  const members = Object.entries(optimizer).map(([name, value]) => [name, JSON.stringify(value)] as const);
  return { format: 'pt', ...Object.fromEntries(members) };
}

function parsed<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const at = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  throw invalidState(`${what}: ${at}${issue?.message ?? 'invalid'}`);
}

/** The entries of a state, by path. Throws STATE_INVALID or STATE_INCOMPLETE when it would not be read back. */
export function stateEntries(state: TrainingState, adapter: Pick<Adapter, 'tensors'>): FileEntry[] {
  const { optimizer, moments, gradients, metrics, ...trainer } = state;
  checkConsistent(state);
  checkLikeAdapter('exp_avg', adapter, moments.expAvg);
  checkLikeAdapter('exp_avg_sq', adapter, moments.expAvgSq);
  if (gradients !== null) checkLikeAdapter('the gradient', adapter, gradients);
  const record = parsed(
    trainerSchema,
    { version: STATE_VERSION, ...trainer, metricLines: metrics.length },
    TRAINER_FILE,
  );
  const settings = parsed(optimizerSchema, optimizer, OPTIMIZER_FILE);
  const lines = metrics.map((metric) => `${sortedJson(parsed(metricSchema, metric, METRICS_FILE))}\n`);
  const tensors = [
    ...tensorsToWrite(moments.expAvg, 'exp_avg'),
    ...tensorsToWrite(moments.expAvgSq, 'exp_avg_sq'),
  ];
  return [
    ...(gradients === null ? [] : [safetensorsEntry(GRADIENTS_FILE, tensorsToWrite(gradients, 'grad'))]),
    ...(lines.length === 0 ? [] : [textEntry(METRICS_FILE, lines.join(''))]),
    safetensorsEntry(OPTIMIZER_FILE, tensors, optimizerMetadata(settings)),
    textEntry(TRAINER_FILE, `${sortedJson(record, 2)}\n`),
  ];
}

/** The tensors `<parameter>.<suffix>` in the adapter's order; throws for one that is missing, of another shape or not finite. */
async function readTensors(
  file: string,
  tensors: SafetensorsFile,
  adapter: Pick<Adapter, 'tensors'>,
  suffix: string,
): Promise<AdapterTensor[]> {
  const read: AdapterTensor[] = [];
  for (const { name, shape } of adapter.tensors) {
    const key = `${KEY_PREFIX}${name}.${suffix}`;
    const info = tensors.get(key);
    if (info === undefined) throw incompleteState(`${file} has no ${key}`);
    if (info.dtype !== 'F32') throw invalidState(`${key} is ${info.dtype}, not F32`);
    // The shape first: nothing is taken into memory for a tensor that does not fit.
    if (info.byteLength !== 4 * shape[0] * shape[1]) {
      throw invalidState(`${key} has the shape [${info.shape.join(', ')}], not [${shape.join(', ')}]`);
    }
    const data = decodeFloats('F32', await tensors.read(key));
    checkTensor(key, { shape }, { shape: info.shape, data });
    read.push({ name, shape, data });
  }
  return read;
}

function checkNothingElse(file: string, tensors: SafetensorsFile, expected: number): void {
  const count = tensors.list().length;
  if (count !== expected) {
    throw invalidState(`${file} holds ${String(count)} tensors; the adapter calls for ${String(expected)}`);
  }
}

async function readOptimizer(
  files: FileSet,
  adapter: Pick<Adapter, 'tensors'>,
): Promise<{ optimizer: OptimizerRecord; moments: Moments }> {
  const tensors = await openSafetensors(await files.open(OPTIMIZER_FILE));
  const { format: _, ...members } = tensors.metadata;
  const values = Object.entries(members).map(([name, json]) => {
    const what = `${OPTIMIZER_FILE} (${name})`;
    return [name, parseStrictJson(json, { what, code: 'STATE_INVALID', maxDepth: 2 })] as const;
  });
  const optimizer = parsed(optimizerSchema, Object.fromEntries(values), OPTIMIZER_FILE);
  const expAvg = await readTensors(OPTIMIZER_FILE, tensors, adapter, 'exp_avg');
  const expAvgSq = await readTensors(OPTIMIZER_FILE, tensors, adapter, 'exp_avg_sq');
  for (const { name, data } of expAvgSq) checkNotNegative(`exp_avg_sq of ${name}`, data);
  checkNothingElse(OPTIMIZER_FILE, tensors, 2 * adapter.tensors.length);
  return { optimizer, moments: { expAvg, expAvgSq } };
}

async function readGradients(files: FileSet, adapter: Pick<Adapter, 'tensors'>): Promise<AdapterTensor[]> {
  const tensors = await openSafetensors(await files.open(GRADIENTS_FILE));
  const gradients = await readTensors(GRADIENTS_FILE, tensors, adapter, 'grad');
  checkNothingElse(GRADIENTS_FILE, tensors, adapter.tensors.length);
  return gradients;
}

async function readTrainer(files: FileSet): Promise<Omit<z.infer<typeof trainerSchema>, 'version'>> {
  const text = await readText(files, TRAINER_FILE, MAX_TRAINER_BYTES, 'STATE_INVALID');
  const json: JsonObject = parseStrictObject(text, { what: TRAINER_FILE, code: 'STATE_INVALID' });
  const found = json['version'];
  if (typeof found === 'number' && found > STATE_VERSION) {
    throw new StudioError({
      code: 'FORMAT_NEWER',
      message: `${TRAINER_FILE} has the version ${String(found)}; this program knows ${String(STATE_VERSION)}.`,
      fix: 'Open the checkpoint with a newer version of Lorikeet.',
    });
  }
  const { version: _, ...trainer } = parsed(trainerSchema, json, TRAINER_FILE);
  return trainer;
}

async function readMetrics(files: FileSet): Promise<MetricRecord[]> {
  const text = await readText(files, METRICS_FILE, MAX_METRICS_BYTES, 'STATE_INVALID');
  if (!text.endsWith('\n')) throw invalidState(`${METRICS_FILE} ends within a line`);
  return text
    .slice(0, -1)
    .split('\n')
    .map((line, index) => {
      const what = `${METRICS_FILE}, line ${String(index + 1)}`;
      return parsed(
        metricSchema,
        parseStrictObject(line, { what, code: 'STATE_INVALID', maxDepth: 2 }),
        what,
      );
    });
}

function checkAgainstManifest(manifest: Manifest, state: TrainingState): void {
  const { type, betas, eps, weightDecay } = state.optimizer;
  const ours = JSON.stringify([state.step, type, betas, eps, weightDecay]);
  const { optimizer } = manifest;
  const theirs = JSON.stringify([
    manifest.step,
    optimizer.type,
    optimizer.betas,
    optimizer.eps,
    optimizer.weightDecay,
  ]);
  if (ours !== theirs) {
    throw invalidState(
      `The state (${ours}) and checkpoint.json (${theirs}) contradict each other in step or optimizer`,
    );
  }
}

/** Whether there is a state at all: a sampler export has none. */
export function hasState(names: readonly string[]): boolean {
  return names.some((name) => name.startsWith(STATE_FOLDER));
}

/**
 * Reads the state beside an adapter. Throws STATE_INCOMPLETE for a part that is missing and STATE_INVALID for one that
 * is damaged, of another adapter, or contradicts the others.
 */
export async function readTrainingState(
  files: FileSet,
  adapter: Pick<Adapter, 'tensors'>,
  manifest: Manifest | null,
): Promise<TrainingState> {
  const names = new Set(files.names().filter((name) => name.startsWith(STATE_FOLDER)));
  const missing = [OPTIMIZER_FILE, TRAINER_FILE].filter((name) => !names.has(name));
  if (missing.length > 0) throw incompleteState(`${files.label} has no ${missing.join(' and no ')}`);
  const known = [OPTIMIZER_FILE, TRAINER_FILE, GRADIENTS_FILE, METRICS_FILE];
  const stray = [...names].filter((name) => !known.includes(name));
  if (stray.length > 0) throw invalidState(`The state holds files that are not known: ${someNames(stray)}`);
  const { metricLines, ...trainer } = await readTrainer(files);
  const metrics = names.has(METRICS_FILE) ? await readMetrics(files) : [];
  if (metrics.length !== metricLines) {
    throw incompleteState(
      `${METRICS_FILE} should have ${String(metricLines)} lines and has ${String(metrics.length)}`,
    );
  }
  const { optimizer, moments } = await readOptimizer(files, adapter);
  const gradients = names.has(GRADIENTS_FILE) ? await readGradients(files, adapter) : null;
  const state: TrainingState = { ...trainer, optimizer, moments, gradients, metrics };
  checkConsistent(state);
  if (manifest !== null) checkAgainstManifest(manifest, state);
  return state;
}
