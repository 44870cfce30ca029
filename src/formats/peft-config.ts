/**
 * adapter_config.json of PEFT: every field that changes what an adapter computes is either understood or refused by
 * name. Patterns in the file are never run as regular expressions.
 */
import { StudioError } from '../errors.ts';
import { isJsonObject, parseStrictObject, type JsonObject, type JsonValue } from './strict-json.ts';

const MAX_RANK = 16384;
const MAX_ALPHA = 1e6;
const MAX_BASE_NAME = 1024;

/** Which modules the config names: by name or path, all of the usual ones, or by a pattern that is not run. */
export type PeftTargets =
  { kind: 'list'; entries: readonly string[] } | { kind: 'all' } | { kind: 'pattern' };

export interface PeftConfig {
  rank: number;
  alpha: number;
  dropout: number;
  rslora: boolean;
  fanInFanOut: boolean;
  baseModel: string | null;
  targets: PeftTargets;
  /** The layers that the config limits the names to (layers_to_transform); null for all. */
  layers: readonly number[] | null;
  /** Modules that the config takes out again, by name or path. */
  excluded: readonly string[];
  /** Modules are taken out here and there, so gaps between layers are no mistake. */
  partial: boolean;
  /** Module path or its end, and the value; the first that fits a module counts. */
  rankPattern: readonly (readonly [string, number])[];
  alphaPattern: readonly (readonly [string, number])[];
  /** What the person should know but need not act on. */
  warnings: readonly string[];
}

export function invalidAdapter(message: string): StudioError {
  return new StudioError({
    code: 'ADAPTER_INVALID',
    message,
    fix: 'The adapter is damaged or was written by a faulty program. Save it again with PEFT (save_pretrained).',
  });
}

/** An adapter that is fine, but needs something the engine does not do. */
export function unsupportedAdapter(feature: string): StudioError {
  return new StudioError({
    code: 'ADAPTER_UNSUPPORTED',
    message: `The adapter uses ${feature}. Supported is plain LoRA on linear layers.`,
    fix: 'Use an adapter that was trained as plain LoRA, or merge this one into its base model with PEFT.',
  });
}

const show = (value: JsonValue | undefined): string => JSON.stringify(value ?? null).slice(0, 80);
const isOff = (value: JsonValue | undefined): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  (Array.isArray(value) && value.length === 0) ||
  (isJsonObject(value) && Object.keys(value).length === 0);

/** Fields that must be off (absent, null, false or empty), and what they would turn on. */
const FEATURES: Readonly<Record<string, string>> = {
  use_dora: 'DoRA (use_dora)',
  use_qalora: 'QA-LoRA (use_qalora)',
  use_bdlora: 'block-diagonal LoRA (use_bdlora)',
  lora_bias: 'a bias in its factors (lora_bias)',
  modules_to_save: 'fully trained modules (modules_to_save)',
  trainable_token_indices: 'trained token embeddings (trainable_token_indices)',
  alora_invocation_tokens: 'activated LoRA (alora_invocation_tokens)',
  layer_replication: 'replicated layers (layer_replication)',
  target_parameters: 'adapters on bare parameters (target_parameters)',
  megatron_config: 'Megatron layers (megatron_config)',
  velora_config: 'VeLoRA (velora_config)',
  monteclora_config: 'MonteCLoRA (monteclora_config)',
  kasa_config: 'KaSA (kasa_config)',
  arrow_config: 'Arrow routing (arrow_config)',
};

/** Fields that say nothing about what the stored tensors compute. */
const HARMLESS =
  'auto_mapping peft_version revision inference_mode megatron_core qalora_group_size layers_pattern loftq_config ' +
  'eva_config corda_config lora_ga_config ensure_weight_tying runtime_config peft_type task_type';

/** Fields that are read below. */
const READ =
  'r lora_alpha lora_dropout use_rslora fan_in_fan_out base_model_name_or_path bias target_modules ' +
  'exclude_modules layers_to_transform rank_pattern alpha_pattern init_lora_weights';

function checkType(config: JsonObject): void {
  if (config['fine_tune_type'] !== undefined) throw unsupportedAdapter('the format of MLX, not of PEFT');
  const type = config['peft_type'];
  if (typeof type !== 'string') throw invalidAdapter(`adapter_config.json has the peft_type ${show(type)}.`);
  if (type !== 'LORA') throw unsupportedAdapter(`the method ${type.slice(0, 40)} (peft_type)`);
  const task = config['task_type'] ?? null;
  if (task !== null && task !== 'CAUSAL_LM') throw unsupportedAdapter(`the task ${show(task)} (task_type)`);
}

function checkFeatures(config: JsonObject): void {
  for (const [field, feature] of Object.entries(FEATURES)) {
    if (!isOff(config[field])) throw unsupportedAdapter(feature);
  }
  const bias = config['bias'] ?? 'none';
  if (bias !== 'none') throw unsupportedAdapter(`trained biases (bias: ${show(bias)})`);
  // These start from the base weights and change them: the factors alone do not give the trained model back.
  const init = config['init_lora_weights'] ?? true;
  const keepsBase =
    typeof init === 'boolean' || init === 'gaussian' || init === 'orthogonal' || init === 'eva';
  if (!keepsBase)
    throw unsupportedAdapter(`the initialisation ${show(init)}, which changes the base weights`);
}

function readRank(value: JsonValue | undefined, field: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_RANK) return value;
  throw invalidAdapter(
    `adapter_config.json has ${field} = ${show(value)}; it must be a whole number from 1 to ${String(MAX_RANK)}.`,
  );
}

function readAlpha(value: JsonValue | undefined, field: string): number {
  if (typeof value === 'number' && value > 0 && value <= MAX_ALPHA) return value;
  throw invalidAdapter(`adapter_config.json has ${field} = ${show(value)}; it must be a number above 0.`);
}

function readFlag(config: JsonObject, field: string): boolean {
  const value = config[field] ?? false;
  if (typeof value === 'boolean') return value;
  throw invalidAdapter(`adapter_config.json has ${field} = ${show(value)}; it must be true or false.`);
}

function readDropout(value: JsonValue | undefined): number {
  if (typeof value === 'number' && value >= 0 && value < 1) return value;
  throw invalidAdapter(
    `adapter_config.json has lora_dropout = ${show(value)}; it must be from 0 to below 1.`,
  );
}

const PLAIN_PATH = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;

/** The key of a pattern table as a plain path; PEFT writes and documents plain names, `^` and `\.` at most. */
function plainKey(key: string, field: string): string {
  const plain = key.replace(/^\^/, '').replace(/\$$/, '').replaceAll('\\.', '.');
  if (key.length <= 1024 && PLAIN_PATH.test(plain)) return plain;
  throw unsupportedAdapter(`the pattern ${show(key)} in ${field}; only module names are read there`);
}

function readPattern(
  config: JsonObject,
  field: 'rank_pattern' | 'alpha_pattern',
  read: (value: JsonValue | undefined, field: string) => number,
): [string, number][] {
  const value = config[field] ?? {};
  if (!isJsonObject(value)) throw invalidAdapter(`adapter_config.json has ${field} = ${show(value)}.`);
  return Object.entries(value).map(([key, number]) => [
    plainKey(key, field),
    read(number, `${field}[${show(key)}]`),
  ]);
}

function readTargets(value: JsonValue | undefined): PeftTargets {
  if (value === undefined || value === null || value === 'all-linear') return { kind: 'all' };
  if (typeof value === 'string') return { kind: 'pattern' };
  if (!Array.isArray(value) || value.length === 0) {
    throw invalidAdapter(`adapter_config.json has target_modules = ${show(value)}.`);
  }
  const entries = value.map((entry) => {
    // Tinker's name of the output head.
    if (entry === 'unembed_tokens') return 'lm_head';
    if (typeof entry === 'string' && entry.length <= 1024 && PLAIN_PATH.test(entry)) return entry;
    throw invalidAdapter(`adapter_config.json names the target module ${show(entry)}.`);
  });
  return { kind: 'list', entries };
}

function readLayers(config: JsonObject): readonly number[] | null {
  const value = config['layers_to_transform'];
  if (isOff(value)) return null;
  if (typeof config['target_modules'] === 'string') {
    throw invalidAdapter('adapter_config.json has layers_to_transform beside a pattern of target_modules.');
  }
  const layers = Array.isArray(value) ? value : [value];
  return layers.map((layer) => {
    if (typeof layer === 'number' && Number.isSafeInteger(layer) && layer >= 0) return layer;
    throw invalidAdapter(`adapter_config.json has layers_to_transform = ${show(value)}.`);
  });
}

/** A pattern here is not run: whether it takes out what the tensors are for stays open. */
function readExcluded(value: JsonValue | undefined): readonly string[] {
  if (isOff(value) || typeof value === 'string') return [];
  if (!Array.isArray(value))
    throw invalidAdapter(`adapter_config.json has exclude_modules = ${show(value)}.`);
  return value.map((entry) => {
    if (typeof entry === 'string' && entry.length <= 1024) return entry;
    throw invalidAdapter(`adapter_config.json excludes the module ${show(entry)}.`);
  });
}

/** The base model's name as text. It is shown and compared, never opened as a path or an address. */
function readBaseModel(value: JsonValue | undefined, warnings: string[]): string | null {
  if (value === undefined || value === null || value === '') return null;
  // A scheme of two letters or more: `C:\models` is a path.
  const odd =
    typeof value !== 'string' ||
    value.length > MAX_BASE_NAME ||
    /^\s*[a-z][a-z0-9+.-]+:/i.test(value) ||
    /[<>"]|\p{Cc}/u.test(value);
  if (odd)
    throw invalidAdapter(`adapter_config.json names the base model ${show(value)}, which is no model name.`);
  if (value.split(/[\\/]/).includes('..')) {
    warnings.push(`The base model is given as a relative path (${value}), which says nothing here.`);
    return null;
  }
  return value;
}

/** Parses and checks the text of an adapter_config.json. */
export function parsePeftConfig(text: string): PeftConfig {
  const config = parseStrictObject(text, { what: 'adapter_config.json', code: 'ADAPTER_INVALID' });
  checkType(config);
  checkFeatures(config);
  const warnings: string[] = [];
  const known = new Set([...`${READ} ${HARMLESS}`.split(' '), ...Object.keys(FEATURES)]);
  const unknown = Object.keys(config).filter((field) => !known.has(field));
  if (unknown.length > 0) {
    warnings.push(
      `adapter_config.json has fields that are not known here and are ignored: ${unknown.slice(0, 8).join(', ').slice(0, 200)}.`,
    );
  }
  if (!isOff(config['runtime_config'])) warnings.push('runtime_config in adapter_config.json is ignored.');
  return {
    rank: readRank(config['r'] ?? 8, 'r'),
    alpha: readAlpha(config['lora_alpha'] ?? 8, 'lora_alpha'),
    dropout: readDropout(config['lora_dropout'] ?? 0),
    rslora: readFlag(config, 'use_rslora'),
    fanInFanOut: readFlag(config, 'fan_in_fan_out'),
    baseModel: readBaseModel(config['base_model_name_or_path'], warnings),
    targets: readTargets(config['target_modules']),
    layers: readLayers(config),
    excluded: readExcluded(config['exclude_modules']),
    partial: !isOff(config['exclude_modules']),
    rankPattern: readPattern(config, 'rank_pattern', readRank),
    alphaPattern: readPattern(config, 'alpha_pattern', readAlpha),
    warnings,
  };
}
