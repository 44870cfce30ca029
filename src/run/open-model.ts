/** A model folder opened as far as no GPU is needed: what it is, its tokenizer and template, and where its weights lie. */
import { loadChatTemplate, type ChatTemplate } from '../data/chat-template.ts';
import { loadTokenizer, type TextTokenizer } from '../data/tokenizer.ts';
import { parseModelConfig, type ModelConfig } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { FileSet } from '../formats/file-set.ts';
import { readModelFolder, type ModelFolder } from '../formats/model-folder.ts';
import type { TensorSource } from '../formats/tensors.ts';
import { findStopIds } from './stop-ids.ts';

export interface OpenModel {
  /** What an export calls its base model: a Hub id, a path, or the name of the embedded model. */
  id: string;
  /** The commit on the Hub; null for a model that is not from there. */
  revision: string | null;
  config: ModelConfig;
  tensors: TensorSource;
  tokenizer: TextTokenizer;
  /** Undefined where the model has none. */
  template: ChatTemplate | undefined;
  /** Tokens that end an answer. */
  stopIds: number[];
  /** That of the weights is known once they are loaded. */
  hashes: { configSha256: string; tokenizerSha256: string; weightsSha256?: string };
  /** The tokenizer's files byte for byte, to put into an export. */
  tokenizerFiles: { path: string; bytes: Uint8Array<ArrayBuffer> }[];
  weightBytes: number;
  /** Of most of the weights, such as `BF16`. */
  dtype: string;
  parameters: number;
}

/**
 * Opens a model folder. `now` is the date for chat templates that print it. Throws by name for what is missing or not
 * supported, before any weight is read.
 */
export async function openModel(
  files: FileSet,
  id: string,
  now: Date,
  revision: string | null = null,
): Promise<OpenModel> {
  const folder = await readModelFolder(files);
  const config = parseModelConfig(folder.config);
  const tokenizerConfig = folder.tokenizerConfigJson ?? undefined;
  const tokenizer = loadTokenizer({ tokenizerJson: folder.tokenizerJson, tokenizerConfig });
  const chatTemplate = folder.chatTemplate ?? undefined;
  const template = loadChatTemplate({ tokenizerConfig: tokenizerConfig ?? '{}', chatTemplate }, now);
  const tensors = await folder.openWeights();
  return {
    id,
    revision,
    config,
    tensors,
    tokenizer,
    template,
    stopIds: findStopIds(tokenizer, template, [...configEosIds(folder), ...folder.eosTokenIds]),
    hashes: { configSha256: folder.configSha256(), tokenizerSha256: folder.tokenizerSha256() },
    tokenizerFiles: Array.from(folder.tokenizerFiles, ([path, bytes]) => ({ path, bytes })),
    ...measureWeights(tensors),
  };
}

/** `eos_token_id` of config.json: a number, a list, or nothing. */
function configEosIds({ config }: ModelFolder): number[] {
  const value = config['eos_token_id'] ?? [];
  return (Array.isArray(value) ? value : [value]).filter((id) => typeof id === 'number');
}

const COMPUTED = ['F32', 'F16', 'BF16'];

/** Sizes of the weights. Throws MODEL_UNSUPPORTED for weights of a dtype that the engine does not compute with. */
function measureWeights(tensors: TensorSource): Pick<OpenModel, 'weightBytes' | 'dtype' | 'parameters'> {
  const counts = new Map<string, number>();
  let weightBytes = 0;
  for (const { name, dtype, shape, byteLength } of tensors.list()) {
    // Some files keep masks and position numbers beside the weights; those are never read.
    if (name.endsWith('.weight') && !COMPUTED.includes(dtype)) {
      throw new StudioError({
        code: 'MODEL_UNSUPPORTED',
        message: `The model has ${dtype} weights (${name}).`,
        fix: 'Use a copy of the model with weights in F32, F16 or BF16.',
      });
    }
    const elements = shape.reduce((product, size) => product * size, 1);
    counts.set(dtype, (counts.get(dtype) ?? 0) + elements);
    weightBytes += byteLength;
  }
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  const parameters = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return { weightBytes, dtype: most?.[0] ?? 'none', parameters };
}
