/** A HuggingFace model folder: its parts found, named when missing, and read only when asked for. */
import { StudioError } from '../errors.ts';
import { readWhole, someNames, type FileSet } from './file-set.ts';
import { sha256Hex } from './sha256.ts';
import { hasWeights, openWeights } from './sharded.ts';
import { decodeUtf8, parseStrictObject, type JsonObject } from './strict-json.ts';
import type { TensorSource } from './tensors.ts';

const MAX_CONFIG_BYTES = 2 ** 20;
/** The largest tokenizers in use have about 35 MB. */
const MAX_TOKENIZER_BYTES = 64 * 2 ** 20;

/** The files that travel with an adapter so that its user has the same tokenizer. */
export const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'special_tokens_map.json',
] as const;

const OTHER_WEIGHTS = /\.(bin|pt|pth|ckpt|gguf|ggml|h5|msgpack|onnx|ot|npz|tflite)$/i;

export interface ModelFolder {
  readonly label: string;
  /** config.json as it stands; what the engine makes of it is the engine's business. */
  readonly config: JsonObject;
  readonly tokenizerJson: string;
  readonly tokenizerConfigJson: string | null;
  /** The text of chat_template.jinja. A template may also stand in tokenizer_config.json. */
  readonly chatTemplate: string | null;
  readonly specialTokensMapJson: string | null;
  /** `eos_token_id` of generation_config.json; empty when it does not say. */
  readonly eosTokenIds: readonly number[];
  /** The tokenizer's files byte for byte, for the export. */
  readonly tokenizerFiles: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** SHA-256 of config.json, hex. */
  configSha256(): string;
  /** SHA-256 of tokenizer.json, hex. */
  tokenizerSha256(): string;
  /** Opens the weights; for a remote folder this downloads them. */
  openWeights(): Promise<TensorSource>;
}

function checkParts(files: FileSet): void {
  const names = files.names();
  const found = `found: ${someNames(names)}`;
  if (!names.includes('config.json')) {
    const isAdapter = names.includes('adapter_config.json');
    throw new StudioError({
      code: 'MODEL_INCOMPLETE',
      message: `${files.label} has no config.json (${found}).`,
      fix: isAdapter
        ? 'This is an adapter, not a model. Choose the folder of its base model.'
        : 'Choose a model folder in the HuggingFace layout: config.json, model.safetensors, tokenizer.json.',
    });
  }
  if (!hasWeights(files)) {
    const other = names.filter((name) => OTHER_WEIGHTS.test(name));
    throw new StudioError(
      other.length > 0
        ? {
            code: 'MODEL_UNSUPPORTED',
            message: `${files.label} has its weights as ${someNames(other)}; supported is model.safetensors, single or sharded.`,
            fix: 'Convert the model: load it in transformers and call save_pretrained.',
          }
        : {
            code: 'MODEL_INCOMPLETE',
            message: `${files.label} has no model.safetensors and no model.safetensors.index.json (${found}).`,
            fix: 'Get the weights and put them into the same folder.',
          },
    );
  }
  if (!names.includes('tokenizer.json')) {
    throw new StudioError({
      code: 'TOKENIZER_MISSING',
      message: `${files.label} has no tokenizer.json (${found}).`,
      fix: 'Put tokenizer.json into the folder. For an older model, AutoTokenizer(...).save_pretrained in transformers writes it.',
    });
  }
}

/** The stop tokens of generation_config.json: one number or a list. */
function readEosTokenIds(text: string): number[] {
  const value = parseStrictObject(text, { what: 'generation_config.json' })['eos_token_id'] ?? [];
  const ids = Array.isArray(value) ? value : [value];
  return ids.map((id) => {
    if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return id;
    throw new StudioError({
      code: 'MODEL_INVALID',
      message: `generation_config.json has the eos_token_id ${JSON.stringify(value).slice(0, 60)}.`,
      fix: 'It must be a token id or a list of them. Correct the file or remove it.',
    });
  });
}

/** Reads config and tokenizer of a model folder; throws by name when a part is missing or of another kind. */
export async function readModelFolder(files: FileSet): Promise<ModelFolder> {
  checkParts(files);
  const configBytes = await readWhole(files, 'config.json', MAX_CONFIG_BYTES);
  const config = parseStrictObject(decodeUtf8(configBytes, 'config.json'), { what: 'config.json' });
  const present = new Set(files.names());
  const tokenizerFiles = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of TOKENIZER_FILES) {
    if (present.has(name)) tokenizerFiles.set(name, await readWhole(files, name, MAX_TOKENIZER_BYTES));
  }
  const textOf = (name: (typeof TOKENIZER_FILES)[number]): string | null => {
    const bytes = tokenizerFiles.get(name);
    return bytes === undefined ? null : decodeUtf8(bytes, name, 'TOKENIZER_INVALID');
  };
  const generation = present.has('generation_config.json')
    ? decodeUtf8(await readWhole(files, 'generation_config.json', MAX_CONFIG_BYTES), 'generation_config.json')
    : '{}';
  return {
    label: files.label,
    config,
    tokenizerJson: textOf('tokenizer.json') ?? '',
    tokenizerConfigJson: textOf('tokenizer_config.json'),
    chatTemplate: textOf('chat_template.jinja'),
    specialTokensMapJson: textOf('special_tokens_map.json'),
    eosTokenIds: readEosTokenIds(generation),
    tokenizerFiles,
    configSha256: () => sha256Hex(configBytes),
    tokenizerSha256: () => sha256Hex(tokenizerFiles.get('tokenizer.json') ?? new Uint8Array(0)),
    openWeights: () => openWeights(files),
  };
}
