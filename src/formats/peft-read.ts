/** A PEFT adapter folder as an Adapter: config and tensors checked against each other. */
import { StudioError } from '../errors.ts';
import type { Adapter, AdapterTensor } from './adapter.ts';
import { someNames } from './file-set.ts';
import { countNonFinite, decodeFloats, isFloatDtype } from './float-codec.ts';
import { invalidAdapter, parsePeftConfig, unsupportedAdapter } from './peft-config.ts';
import { isFrozenCopy, KEY_PREFIX, parseAdapterKey } from './peft-keys.ts';
import { compareModulePaths } from './peft-order.ts';
import { resolveSettings } from './peft-targets.ts';
import type { TensorInfo, TensorSource } from './tensors.ts';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
/** The same as a pickle of PyTorch, as older versions of PEFT wrote it. */
export const ADAPTER_BIN = 'adapter_model.bin';
export const MAX_CONFIG_BYTES = 2 ** 20;

export interface PeftRead {
  adapter: Adapter;
  /** As the config has it; true where the base model keeps its weights transposed (GPT-2). */
  fanInFanOut: boolean;
  /** Dtypes of the stored tensors. */
  dtypes: readonly string[];
  /** For the person: fields that were ignored, values that are not finite. */
  warnings: readonly string[];
}

interface Pair {
  A?: TensorInfo;
  B?: TensorInfo;
}

function collectPairs(tensors: TensorSource): Map<string, Pair> {
  const pairs = new Map<string, Pair>();
  for (const info of tensors.list()) {
    if (isFrozenCopy(info.name)) continue;
    const { path, factor } = parseAdapterKey(info.name);
    if (!isFloatDtype(info.dtype)) throw unsupportedAdapter(`the dtype ${info.dtype} (tensor ${info.name})`);
    const pair = pairs.get(path) ?? {};
    pair[factor] = info;
    pairs.set(path, pair);
  }
  if (pairs.size === 0) throw invalidAdapter(`${ADAPTER_WEIGHTS} holds no tensors.`);
  return pairs;
}

function shapeOf(info: TensorInfo): readonly [number, number] {
  const [rows, columns] = info.shape;
  if (info.shape.length !== 2 || rows === undefined || columns === undefined || rows * columns === 0) {
    throw invalidAdapter(
      `${info.name} has the shape [${info.shape.join(', ')}]; a factor has two dimensions.`,
    );
  }
  return [rows, columns];
}

/** Both factors of a module, or an error that says which shape is wrong: A is [rank, in], B is [out, rank]. */
function checkPair(path: string, pair: Pair, rank: number): [TensorInfo, TensorInfo] {
  const { A, B } = pair;
  if (A === undefined || B === undefined) {
    throw invalidAdapter(
      `${path} has lora_${A === undefined ? 'B' : 'A'} but no lora_${A === undefined ? 'A' : 'B'}.`,
    );
  }
  const rankA = shapeOf(A)[0];
  const rankB = shapeOf(B)[1];
  if (rankA !== rank || rankB !== rank) {
    throw invalidAdapter(
      `The config gives ${path} the rank ${String(rank)}, but lora_A is [${A.shape.join(', ')}] and lora_B is [${B.shape.join(', ')}].`,
    );
  }
  return [A, B];
}

async function readFactor(
  tensors: TensorSource,
  info: TensorInfo,
  warnings: string[],
): Promise<AdapterTensor> {
  if (!isFloatDtype(info.dtype)) throw unsupportedAdapter(`the dtype ${info.dtype}`);
  const bytes = await tensors.read(info.name);
  const odd = countNonFinite(info.dtype, bytes);
  if (odd > 0) warnings.push(`${info.name} holds ${String(odd)} values that are NaN or infinite.`);
  return {
    name: info.name.slice(KEY_PREFIX.length),
    shape: shapeOf(info),
    data: decodeFloats(info.dtype, bytes),
  };
}

/** Reads an adapter from the text of its config and its tensors. */
export async function readPeft(configText: string, tensors: TensorSource): Promise<PeftRead> {
  const config = parsePeftConfig(configText);
  const warnings = [...config.warnings];
  const pairs = collectPairs(tensors);
  const paths = [...pairs.keys()].sort(compareModulePaths);
  const settings = resolveSettings(config, paths, warnings);
  const checked = paths.flatMap((path) =>
    checkPair(path, pairs.get(path) ?? {}, settings.rankPattern[path] ?? settings.rank),
  );
  const factors: AdapterTensor[] = [];
  for (const info of checked) factors.push(await readFactor(tensors, info, warnings));
  return {
    adapter: { settings, baseModel: config.baseModel, tensors: factors },
    fanInFanOut: config.fanInFanOut,
    dtypes: [...new Set(checked.map((info) => info.dtype))].sort(),
    warnings,
  };
}

/** Throws, by what was found instead, when a folder holds no adapter config, or no weights of one of these names. */
export function checkAdapterParts(label: string, names: readonly string[], weights: string | null): void {
  const found = `found: ${someNames(names)}`;
  if (!names.includes(ADAPTER_CONFIG)) {
    const inside = names.filter((name) => name.endsWith(`/${ADAPTER_CONFIG}`));
    throw new StudioError({
      code: 'ADAPTER_INVALID',
      message:
        inside.length > 1
          ? `${label} holds ${String(inside.length)} adapters: ${someNames(inside)}.`
          : `${label} has no ${ADAPTER_CONFIG} (${found}).`,
      fix: 'Choose the folder of one adapter: adapter_config.json with adapter_model.safetensors.',
    });
  }
  if (weights !== null) return;
  throw invalidAdapter(`${label} has no ${ADAPTER_WEIGHTS} (${found}).`);
}
