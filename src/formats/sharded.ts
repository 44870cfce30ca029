/** The weights of a model folder as one tensor source: a single safetensors file, or shards with an index. */
import { StudioError } from '../errors.ts';
import { readText, someNames, type FileSet } from './file-set.ts';
import { openSafetensors } from './safetensors-read.ts';
import { isJsonObject, parseStrictObject } from './strict-json.ts';
import type { TensorInfo, TensorSource } from './tensors.ts';

export const WEIGHTS_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';
const MAX_INDEX_BYTES = 16 * 2 ** 20;
const MAX_SHARDS = 1000;
const SHARD_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.safetensors$/;

function invalid(problem: string): StudioError {
  return new StudioError({
    code: 'WEIGHTS_INVALID',
    message: problem,
    fix: 'The model folder is damaged or mixed from two models. Get it again from its source.',
  });
}

/** The shard of every tensor, from the text of the index. */
function parseIndex(text: string): Map<string, string> {
  const weightMap = parseStrictObject(text, { what: INDEX_FILE, code: 'WEIGHTS_INVALID' })['weight_map'];
  if (!isJsonObject(weightMap)) throw invalid(`${INDEX_FILE} has no weight_map.`);
  const shards = new Map<string, string>();
  for (const [tensor, file] of Object.entries(weightMap)) {
    // A plain name in the same folder: no `..`, no folders, no addresses.
    if (typeof file !== 'string' || !SHARD_NAME.test(file)) {
      throw invalid(
        `${INDEX_FILE} names the shard ${JSON.stringify(file).slice(0, 100)}, which is not a plain file name.`,
      );
    }
    shards.set(tensor, file);
  }
  const count = new Set(shards.values()).size;
  if (count === 0) throw invalid(`${INDEX_FILE} names no tensors.`);
  if (count > MAX_SHARDS)
    throw invalid(`${INDEX_FILE} names ${String(count)} shards; at most 1000 are read.`);
  return shards;
}

async function openShards(files: FileSet): Promise<TensorSource> {
  const wanted = parseIndex(await readText(files, INDEX_FILE, MAX_INDEX_BYTES, 'WEIGHTS_INVALID'));
  const shardNames = [...new Set(wanted.values())].sort();
  const present = new Set(files.names());
  const absent = shardNames.filter((name) => !present.has(name));
  if (absent.length > 0) {
    throw new StudioError({
      code: 'MODEL_INCOMPLETE',
      message: `${files.label} lacks ${String(absent.length)} of ${String(shardNames.length)} weight files: ${someNames(absent)}.`,
      fix: 'Get the missing files and put them into the same folder.',
    });
  }
  const infos: TensorInfo[] = [];
  const owners = new Map<string, { info: TensorInfo; shard: TensorSource }>();
  for (const name of shardNames) {
    const shard = await openSafetensors(await files.open(name), { requireAligned: false });
    for (const info of shard.list()) {
      if (wanted.get(info.name) !== name) {
        throw invalid(`${name} holds the tensor ${info.name}, which ${INDEX_FILE} does not place there.`);
      }
      infos.push(info);
      owners.set(info.name, { info, shard });
    }
  }
  for (const [tensor, file] of wanted) {
    if (!owners.has(tensor))
      throw invalid(`${INDEX_FILE} places ${tensor} in ${file}, which does not hold it.`);
  }
  return {
    list: () => infos,
    get: (name) => owners.get(name)?.info,
    read: (name) =>
      owners.get(name)?.shard.read(name) ?? Promise.reject(invalid(`${files.label} has no tensor ${name}.`)),
  };
}

/** Whether `openWeights` has something to open. */
export function hasWeights(files: FileSet): boolean {
  return files.names().some((name) => name === WEIGHTS_FILE || name === INDEX_FILE);
}

/** Opens the weights of a folder; as in transformers, the single file goes before the index. */
export async function openWeights(files: FileSet): Promise<TensorSource> {
  if (!files.names().includes(WEIGHTS_FILE)) return openShards(files);
  return openSafetensors(await files.open(WEIGHTS_FILE), { requireAligned: false });
}
