/**
 * Adapters as other programs and services lay them out: weights as safetensors, as PyTorch's .bin or in the form of
 * MLX; config and weights in `adapter/`, the tokenizer in `tokenizer/`; the output head under another name.
 */
import type { ByteSource } from './bytes.ts';
import { readText, type FileSet } from './file-set.ts';
import { MLX_WEIGHTS, readMlx } from './mlx-adapter.ts';
import { invalidAdapter } from './peft-config.ts';
import { KEY_PREFIX } from './peft-keys.ts';
import {
  ADAPTER_BIN,
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  checkAdapterParts,
  MAX_CONFIG_BYTES,
  readPeft,
  type PeftRead,
} from './peft-read.ts';
import { openSafetensors } from './safetensors-read.ts';
import { openTorchTensors } from './torch-file.ts';
import type { TensorSource } from './tensors.ts';

/** The files that hold weights, in the order in which they are looked for. */
const WEIGHTS = [ADAPTER_WEIGHTS, ADAPTER_BIN, MLX_WEIGHTS];

/** The file of an adapter that holds its weights; null when there is none. */
export function weightsFile(names: readonly string[]): string | null {
  return WEIGHTS.find((name) => names.includes(name)) ?? null;
}

/** Opens weights in any of the three forms. */
export function openWeightsFile(name: string, source: ByteSource): Promise<TensorSource> {
  if (name === ADAPTER_BIN) return openTorchTensors(source);
  // MLX does not pad the header.
  return openSafetensors(source, { requireAligned: name !== MLX_WEIGHTS });
}

/** The output head is `unembed_tokens` at Tinker, inside the decoder; here and in PEFT it is `lm_head`. */
const TINKER_HEAD = `${KEY_PREFIX}model.unembed_tokens.`;
const HEAD = `${KEY_PREFIX}lm_head.`;

/** The same tensors with the output head under the name that PEFT gives it. */
export function withHeadRenamed(tensors: TensorSource): { tensors: TensorSource; renamed: boolean } {
  const original = new Map<string, string>();
  const infos = tensors.list().map((info) => {
    if (!info.name.startsWith(TINKER_HEAD)) return info;
    const name = HEAD + info.name.slice(TINKER_HEAD.length);
    if (tensors.get(name) !== undefined)
      throw invalidAdapter(`There are tensors for ${info.name} and for ${name}.`);
    original.set(name, info.name);
    return { ...info, name };
  });
  if (original.size === 0) return { tensors, renamed: false };
  const byName = new Map(infos.map((info) => [info.name, info]));
  return {
    tensors: {
      list: () => infos,
      get: (name) => byName.get(name),
      read: (name) => tensors.read(original.get(name) ?? name),
    },
    renamed: true,
  };
}

/** Reads an adapter from its config and its weights, whichever program wrote them. */
export async function readAdapterParts(
  name: string,
  configText: string,
  given: TensorSource,
): Promise<PeftRead> {
  if (name === MLX_WEIGHTS) return readMlx(configText, given);
  const { tensors, renamed } = withHeadRenamed(given);
  const read = await readPeft(configText, tensors);
  if (!renamed) return read;
  const note =
    'The output head is called unembed_tokens in this file and was read as lm_head. In a model whose head is its embedding, the two would be trained apart.';
  return { ...read, warnings: [...read.warnings, note] };
}

/** Reads an adapter folder without looking for a manifest, and says which file the weights came from. */
export async function readPeftFolder(files: FileSet): Promise<PeftRead & { weights: string }> {
  const found = weightsFile(files.names());
  checkAdapterParts(files.label, files.names(), found);
  // checkAdapterParts has seen that there are some.
  const weights = found ?? ADAPTER_WEIGHTS;
  const text = await readText(files, ADAPTER_CONFIG, MAX_CONFIG_BYTES, 'ADAPTER_INVALID');
  const tensors = await openWeightsFile(weights, await files.open(weights));
  return { ...(await readAdapterParts(weights, text, tensors)), weights };
}

/** What a path is called here: without `adapter/` and `tokenizer/`, where the config lies in the former. */
export function layoutNames(names: readonly string[]): (name: string) => string {
  if (names.includes(ADAPTER_CONFIG) || !names.includes(`adapter/${ADAPTER_CONFIG}`)) return (name) => name;
  const plain = (name: string): string => name.replace(/^(adapter|tokenizer)\//, '');
  const seen = new Set<string>();
  for (const name of names.map(plain)) {
    if (seen.has(name)) throw invalidAdapter(`There are two files ${name}, in different folders.`);
    seen.add(name);
  }
  return plain;
}

/** A folder with the names that its files are called here. */
export function withLayout(files: FileSet): FileSet {
  const rename = layoutNames(files.names());
  const original = new Map(files.names().map((name) => [rename(name), name]));
  return {
    label: files.label,
    names: () => [...original.keys()],
    open: (name) => files.open(original.get(name) ?? name),
  };
}
