/** trainer_state.json of a HuggingFace Trainer. It is read there as `TrainerState(**json)`: an unknown key is an error. */
import { invalidState } from './moments.ts';
import { sortedJson } from './peft-write.ts';
import { isJsonObject, parseStrictObject, type JsonObject, type JsonValue } from './strict-json.ts';

export const TRAINER_STATE = 'trainer_state.json';
/** A million logged steps. */
export const MAX_TRAINER_STATE_BYTES = 64 * 2 ** 20;

/** One entry of the log: figures by name, always with a step. */
export type HfLogEntry = Readonly<Record<string, number>> & { readonly step: number };

export interface HfTrainerState {
  step: number;
  maxSteps: number;
  /** Passes over the data that are done, with a fraction. */
  epoch: number;
  epochs: number;
  /** Rows per device and micro-batch. */
  batchSize: number;
  tokens: number;
  log: readonly HfLogEntry[];
  bestMetric: number | null;
  bestStep: number | null;
}

export interface HfTrainerStateRead extends HfTrainerState {
  /** Names of figures that were NaN or infinite; they are left out. */
  notFinite: readonly string[];
}

const KNOWN = new Set(
  (
    'best_global_step best_metric best_model_checkpoint epoch eval_steps global_step is_hyper_param_search ' +
    'is_local_process_zero is_world_process_zero log_history logging_steps max_steps num_input_tokens_seen ' +
    'num_train_epochs save_steps stateful_callbacks total_flos train_batch_size trial_name trial_params'
  ).split(' '),
);

function checkFinite(log: readonly HfLogEntry[]): void {
  for (const entry of log) {
    const bad = Object.entries(entry).find(([, value]) => !Number.isFinite(value));
    if (bad !== undefined)
      throw invalidState(`The figure ${bad[0]} of step ${String(entry.step)} is ${String(bad[1])}`);
  }
}

/** The text of the file: the keys that every version of transformers since 4.41 knows, and no other. */
export function trainerStateText(state: HfTrainerState): string {
  checkFinite(state.log);
  const json = {
    best_metric: state.bestMetric,
    best_model_checkpoint: null,
    epoch: state.epoch,
    eval_steps: 500,
    global_step: state.step,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: state.log,
    logging_steps: 500,
    max_steps: state.maxSteps,
    num_input_tokens_seen: state.tokens,
    num_train_epochs: Math.max(1, Math.ceil(state.epochs)),
    save_steps: 500,
    stateful_callbacks: {},
    total_flos: 0,
    train_batch_size: state.batchSize,
    trial_name: null,
    trial_params: null,
  };
  return `${sortedJson(json, 2)}\n`;
}

const describe = (value: JsonValue): string =>
  typeof value === 'number' ? String(value) : JSON.stringify(value).slice(0, 60);

function number(json: JsonObject, key: string, otherwise: number | null = null): number {
  const value = json[key] ?? otherwise;
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw invalidState(`${TRAINER_STATE}: ${key} is ${describe(value)}, not a number from 0`);
}

function whole(json: JsonObject, key: string, otherwise: number | null = null): number {
  const value = number(json, key, otherwise);
  if (Number.isSafeInteger(value)) return value;
  throw invalidState(`${TRAINER_STATE}: ${key} is ${String(value)}, not a whole number`);
}

function readLog(value: JsonValue | undefined, notFinite: Set<string>): HfLogEntry[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalidState(`${TRAINER_STATE}: log_history is not a list`);
  return value.map((entry) => {
    if (!isJsonObject(entry))
      throw invalidState(`${TRAINER_STATE}: an entry of log_history is not an object`);
    const figures: Record<string, number> & { step: number } = { step: whole(entry, 'step') };
    for (const [name, figure] of Object.entries(entry)) {
      if (typeof figure !== 'number' || name === '__proto__') continue;
      if (Number.isFinite(figure)) figures[name] = figure;
      else notFinite.add(name);
    }
    return figures;
  });
}

/** Reads the file. NaN and Infinity, which Python writes and JSON does not know, are read and left out by name. */
export function readTrainerState(text: string): HfTrainerStateRead {
  const json = parseStrictObject(text, { what: TRAINER_STATE, code: 'STATE_INVALID', notFinite: true });
  const unknown = Object.keys(json).find((key) => !KNOWN.has(key));
  if (unknown !== undefined) {
    throw invalidState(
      `${TRAINER_STATE} has the key ${JSON.stringify(unknown.slice(0, 60))}, which Trainer does not know`,
    );
  }
  const notFinite = new Set<string>();
  const best = json['best_metric'] ?? null;
  if (best !== null && typeof best !== 'number')
    throw invalidState(`${TRAINER_STATE}: best_metric is not a number`);
  if (best !== null && !Number.isFinite(best)) notFinite.add('best_metric');
  const bestStep = json['best_global_step'] ?? null;
  const state = {
    step: whole(json, 'global_step'),
    maxSteps: whole(json, 'max_steps'),
    epoch: number(json, 'epoch', 0),
    epochs: number(json, 'num_train_epochs', 1),
    batchSize: whole(json, 'train_batch_size', 1),
    tokens: whole(json, 'num_input_tokens_seen', 0),
    log: readLog(json['log_history'], notFinite),
    bestMetric: best !== null && Number.isFinite(best) ? best : null,
    bestStep: bestStep === null ? null : whole(json, 'best_global_step'),
  };
  if (state.step > state.maxSteps) {
    throw invalidState(
      `${TRAINER_STATE}: global_step ${String(state.step)} is beyond max_steps ${String(state.maxSteps)}`,
    );
  }
  const late = state.log.find(({ step }) => step > state.step);
  if (late !== undefined)
    throw invalidState(`${TRAINER_STATE}: its log goes on to step ${String(late.step)}`);
  return { ...state, notFinite: [...notFinite].sort() };
}
