/** What the paths and names on the command line stand for: models, adapters, data files, and the place of the result. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DATA_LIMITS } from '../data/limits.ts';
import { StudioError } from '../errors.ts';
import { readAdapter, type AdapterRead } from '../formats/archive-read.ts';
import { toTarGz } from '../formats/archive-write.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import type { FileSet } from '../formats/file-set.ts';
import { isHubId, openHubModel } from '../hub/hub-model.ts';
import { nodeHubCache } from '../hub/node-cache.ts';
import type { DataFile } from '../run/prepare-data.ts';
import { openModel, type OpenModel } from '../run/open-model.ts';
import {
  fileSource,
  folderFileSet,
  openPath,
  writeFileAtomically,
  writeFolderAtomically,
} from '../storage/node-fs.ts';
import { cacheFolder } from './cache-folder.ts';
import type { Reporter } from './progress.ts';
import { bytes as inWords } from './words.ts';

/** The name of the embedded model on the command line, and in what it trains. */
export const TINY = 'tiny';
export const TINY_ID = 'lorikeet-tiny';

/** The folder of the embedded model: in the project, or in its built copy. */
export function tinyFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let level = 0; level < 5; level++, folder = dirname(folder)) {
    for (const place of ['public', 'dist/studio', 'studio']) {
      const path = join(folder, place, 'models', TINY_ID);
      if (existsSync(join(path, 'config.json'))) return path;
    }
  }
  throw new StudioError({
    code: 'FILE_NOT_FOUND',
    message: 'The embedded model is not part of this installation.',
    fix: 'Install Lorikeet again, or give --model a folder or a Hub id.',
  });
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** A relative path that nobody takes for a Hub id. */
function asPath(path: string): string {
  return isAbsolute(path) || /^\.{0,2}[/\\]|^\.{1,2}$/.test(path) ? path : `./${path}`;
}

/** The files that `--model` names; a folder goes before a Hub id of the same name. */
export async function modelFiles(
  name: string,
  report: Reporter,
): Promise<{ files: FileSet; id: string; revision: string | null }> {
  if (name === TINY) return { files: await folderFileSet(tinyFolder(), TINY), id: TINY_ID, revision: null };
  if (isFolder(name)) return { files: await folderFileSet(name), id: asPath(name), revision: null };
  if (existsSync(name) || !isHubId(name)) {
    throw new StudioError({
      code: 'FILE_NOT_FOUND',
      message: existsSync(name) ? `${name} is a file, not a model folder.` : `There is no folder ${name}.`,
      fix: 'Give --model a model folder, a Hub id such as owner/name, or tiny.',
    });
  }
  const hub = await openHub(name, report);
  if (hub.offline) report.note(`The Hub cannot be reached; ${name} is taken from the cache.`);
  return { files: hub, id: hub.id, revision: hub.commit };
}

async function openHub(id: string, report: Reporter): ReturnType<typeof openHubModel> {
  const { HF_ENDPOINT: hubUrl, HF_TOKEN: token } = process.env;
  try {
    return await openHubModel({
      id,
      cache: nodeHubCache(cacheFolder('hub')),
      ...(hubUrl ? { hubUrl } : {}),
      ...(token ? { token } : {}),
      onProgress: ({ file, received, size }) =>
        report.progress(`Downloading ${file}`, received, size, `${inWords(received)} of ${inWords(size)}`),
    });
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    const { code, message, fix } = error.toFields();
    throw new StudioError(
      { code, message: `There is no folder ${id}, and the Hub says: ${message}`, fix },
      { cause: error },
    );
  }
}

/** Opens the model that `--model` names; no weight is read yet. */
export async function openModelAt(name: string, report: Reporter): Promise<OpenModel> {
  const { files, id, revision } = await modelFiles(name, report);
  return openModel(files, id, new Date(), revision);
}

/** Reads an adapter folder or archive; what is odd about it is noted. */
export async function openAdapterAt(path: string, report: Reporter): Promise<AdapterRead> {
  const read = await readAdapter(await openPath(path));
  for (const warning of read.warnings) report.note(`${path}: ${warning}`);
  return read;
}

/** Reads a data file whole. */
export async function readDataFile(path: string): Promise<DataFile> {
  if (isFolder(path)) {
    throw new StudioError({
      code: 'FILE_UNREADABLE',
      message: `${path} is a folder, not a data file.`,
      fix: 'Give a file: .jsonl, .json, .csv, .tsv or .txt.',
    });
  }
  const source = await fileSource(path);
  if (source.size > DATA_LIMITS.fileBytes) {
    throw new StudioError({
      code: 'INPUT_TOO_LARGE',
      message: `${path} has ${inWords(source.size)}, more than ${inWords(DATA_LIMITS.fileBytes)}.`,
      fix: 'Split the file, or choose a part of its rows.',
    });
  }
  return { name: basename(path), bytes: await source.read(0, source.size) };
}

/** Writes an export: an archive where the path says so, else a folder. Whole or not at all. */
export async function writeExport(path: string, entries: readonly FileEntry[]): Promise<void> {
  if (path.endsWith('.tar.gz')) await writeFileAtomically(path, toTarGz(entries));
  else await writeFolderAtomically(path, entries);
}
