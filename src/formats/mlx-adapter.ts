/**
 * Adapters of MLX (mlx-lm): `adapters.safetensors` with a config of its own. The factors lie the other way round than
 * PEFT's, `lora_a` is [in, rank] and `lora_b` [rank, out], and the config gives the scale where PEFT gives alpha.
 */
import type { AdapterTensor } from './adapter.ts';
import { countNonFinite, decodeFloats, isFloatDtype } from './float-codec.ts';
import { invalidAdapter, unsupportedAdapter, type PeftConfig } from './peft-config.ts';
import { compareModulePaths, splitLayer } from './peft-order.ts';
import type { PeftRead } from './peft-read.ts';
import { resolveSettings } from './peft-targets.ts';
import { isJsonObject, parseStrictObject, type JsonObject } from './strict-json.ts';
import type { TensorInfo, TensorSource } from './tensors.ts';

export const MLX_WEIGHTS = 'adapters.safetensors';

interface MlxConfig {
  rank: number;
  scale: number;
  dropout: number;
  baseModel: string | null;
}

function numberIn(
  object: JsonObject,
  key: string,
  otherwise: number | null,
  fits: (value: number) => boolean,
): number {
  const value = object[key] ?? otherwise;
  if (typeof value === 'number' && fits(value)) return value;
  throw invalidAdapter(
    `adapter_config.json has lora_parameters.${key} = ${JSON.stringify(object[key] ?? null).slice(0, 80)}.`,
  );
}

/** Reads the config that mlx-lm writes: all options of the training, of which few matter here. */
function parseConfig(text: string): MlxConfig {
  const config = parseStrictObject(text, { what: 'adapter_config.json', code: 'ADAPTER_INVALID' });
  const type = config['fine_tune_type'] ?? 'lora';
  if (type === 'dora') throw unsupportedAdapter('DoRA (fine_tune_type)');
  if (type === 'full') throw unsupportedAdapter('fully trained layers (fine_tune_type)');
  if (type !== 'lora')
    throw unsupportedAdapter(`the method ${JSON.stringify(type).slice(0, 40)} (fine_tune_type)`);
  const parameters = config['lora_parameters'];
  if (!isJsonObject(parameters)) throw invalidAdapter('adapter_config.json has no lora_parameters.');
  const model = config['model'];
  return {
    rank: numberIn(
      parameters,
      'rank',
      null,
      (value) => Number.isInteger(value) && value >= 1 && value <= 16384,
    ),
    scale: numberIn(parameters, 'scale', null, (value) => value > 0 && value <= 1e6),
    dropout: numberIn(parameters, 'dropout', 0, (value) => value >= 0 && value < 1),
    baseModel:
      typeof model === 'string' && model.length <= 1024 && !/[<>"]|\p{Cc}/u.test(model) ? model : null,
  };
}

const KEY = /^([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\.lora_([ab])$/;

/** The module's path in the names of HuggingFace: MLX calls GPT-2's decoder `model`. */
function modulePath(key: string): { path: string; factor: 'a' | 'b' } {
  const shown = JSON.stringify(key.slice(0, 120));
  const [, path, factor] = KEY.exec(key) ?? [];
  if (path === undefined || (factor !== 'a' && factor !== 'b')) {
    if (key.endsWith('.m')) throw unsupportedAdapter(`DoRA (tensor ${shown})`);
    throw unsupportedAdapter(`a tensor that is no LoRA factor of MLX (${shown})`);
  }
  if (path.startsWith('language_model.')) throw unsupportedAdapter(`a model with pictures (tensor ${shown})`);
  const number = path.split('.').find((part) => /^\d+$/.test(part));
  if (number !== undefined && (number !== String(Number(number)) || Number(number) > 9999)) {
    throw invalidAdapter(`The tensor name ${shown} has the layer number ${number.slice(0, 20)}.`);
  }
  return { path: path.replace(/^model\.h\./, 'transformer.h.'), factor };
}

interface Pair {
  a?: TensorInfo;
  b?: TensorInfo;
}

function collectPairs(tensors: TensorSource): Map<string, Pair> {
  const pairs = new Map<string, Pair>();
  for (const info of tensors.list()) {
    const { path, factor } = modulePath(info.name);
    if (!isFloatDtype(info.dtype)) throw unsupportedAdapter(`the dtype ${info.dtype} (tensor ${info.name})`);
    const pair = pairs.get(path) ?? {};
    if (pair[factor] !== undefined) throw invalidAdapter(`${path} has lora_${factor} twice.`);
    pair[factor] = info;
    pairs.set(path, pair);
  }
  if (pairs.size === 0) throw invalidAdapter(`${MLX_WEIGHTS} holds no tensors.`);
  return pairs;
}

/** A factor transposed into PEFT's form: lora_A [rank, in], lora_B [out, rank]. */
async function readFactor(
  tensors: TensorSource,
  info: TensorInfo,
  name: string,
  warnings: string[],
): Promise<AdapterTensor> {
  const [rows = 0, columns = 0] = info.shape;
  if (!isFloatDtype(info.dtype)) throw unsupportedAdapter(`the dtype ${info.dtype}`);
  const bytes = await tensors.read(info.name);
  const odd = countNonFinite(info.dtype, bytes);
  if (odd > 0) warnings.push(`${info.name} holds ${String(odd)} values that are NaN or infinite.`);
  const values = decodeFloats(info.dtype, bytes);
  const data = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      data[column * rows + row] = values[row * columns + column] ?? 0;
    }
  }
  return { name, shape: [columns, rows], data };
}

/** Both factors of a module, checked against the rank of the config. */
function checkPair(path: string, { a, b }: Pair, rank: number): [TensorInfo, TensorInfo] {
  if (a === undefined || b === undefined) {
    throw invalidAdapter(`${path} has lora_${a === undefined ? 'b but no lora_a' : 'a but no lora_b'}.`);
  }
  const flat = a.shape.length === 2 && b.shape.length === 2;
  if (!flat || a.shape[1] !== rank || b.shape[0] !== rank || a.byteLength * b.byteLength === 0) {
    throw invalidAdapter(
      `The config gives ${path} the rank ${String(rank)}, but lora_a is [${a.shape.join(', ')}] and lora_b is [${b.shape.join(', ')}].`,
    );
  }
  return [a, b];
}

/** Reads an adapter of MLX from the text of its config and its tensors, as the adapter that PEFT would have. */
export async function readMlx(configText: string, tensors: TensorSource): Promise<PeftRead> {
  const { rank, scale, dropout, baseModel } = parseConfig(configText);
  const warnings: string[] = [];
  const pairs = collectPairs(tensors);
  const paths = [...pairs.keys()].sort(compareModulePaths);
  // MLX adapts the last layers: if layer 0 is among them, it is all of them.
  const first = Math.min(...paths.map((path) => splitLayer(path).layer));
  const config: PeftConfig = {
    rank,
    alpha: scale * rank,
    dropout,
    rslora: false,
    fanInFanOut: false,
    baseModel,
    targets: { kind: 'all' },
    layers: null,
    excluded: [],
    partial: first > 0,
    rankPattern: [],
    alphaPattern: [],
    warnings: [],
  };
  const settings = resolveSettings(config, paths, warnings);
  const factors: AdapterTensor[] = [];
  const dtypes = new Set<string>();
  for (const path of paths) {
    const [a, b] = checkPair(path, pairs.get(path) ?? {}, rank);
    factors.push(await readFactor(tensors, a, `${path}.lora_A.weight`, warnings));
    factors.push(await readFactor(tensors, b, `${path}.lora_B.weight`, warnings));
    dtypes.add(a.dtype).add(b.dtype);
  }
  return {
    adapter: { settings, baseModel, tensors: factors },
    fanInFanOut: paths.some((path) => path.startsWith('transformer.h.')),
    dtypes: [...dtypes].sort(),
    warnings,
  };
}
