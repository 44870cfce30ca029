/**
 * What was dropped or picked, sorted before anything is read: archives and data files one by one, the files of a folder
 * together. Whatever is left is named with the reason; nothing disappears in silence.
 */
import { sniffContainer } from '../formats/gzip.ts';
import { TOKENIZER_FILES } from '../formats/model-folder.ts';
import { weightsFile } from '../formats/import-layout.ts';
import { ADAPTER_CONFIG } from '../formats/peft-read.ts';
import { MANIFEST_FILE } from '../formats/manifest.ts';

/** A folder with more is a mistake: a home folder, a source tree. */
export const MAX_DROPPED_FILES = 1000;

export type DroppedItem =
  | {
      kind: 'file';
      /** With its folders; a leading slash does not count. */
      path: string;
      size: number;
      modified?: number;
      /** Its first 512 bytes, where they were read; else its name says what it is. */
      head?: Uint8Array;
      /** Why it could not be opened, where it could not. */
      unreadable?: string;
    }
  | { kind: 'folder'; path: string }
  /** A text or an address that was dropped instead of a file. */
  | { kind: 'text'; text: string };

export interface DropInput {
  /** A folder is also what several loose files are together. */
  kind: 'file' | 'folder';
  name: string;
  /** Of its files, as they were given. */
  paths: string[];
}

export interface SortedDrop {
  /** What can be looked at, each by itself. */
  inputs: DropInput[];
  /** Everything else: a file, or a folder with all that is in it. */
  left: { name: string; reason: string }[];
}

type FileItem = Extract<DroppedItem, { kind: 'file' }>;

const DATA = /\.(jsonl|ndjson|json|csv|tsv|txt)$/i;
const ARCHIVE = /\.(tar|tgz|tar\.gz)$/i;
const PACKED = /\.(zip|7z|rar|xz|bz2|zst|gz)$/i;
/** Files of a model or an adapter, which mean something together. */
const PART = /\.(safetensors|bin|pt|pth|jinja|model|index\.json)$/i;
const PARTS: ReadonlySet<string> = new Set([
  ADAPTER_CONFIG,
  MANIFEST_FILE,
  'README.md',
  'config.json',
  'generation_config.json',
  'trainer_state.json',
  'metadata.json',
  'checkpoint_complete',
  'vocab.json',
  'merges.txt',
  ...TOKENIZER_FILES,
]);
const HIDDEN = /^(\..*|__MACOSX|Thumbs\.db|desktop\.ini)$/;
/** Marks whose presence is all they say. */
const EMPTY_BY_NATURE = new Set(['checkpoint_complete']);

const plainPath = (path: string): string => path.replace(/^\/+/, '').replace(/\/+$/, '');
const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
const isPart = (name: string): boolean => PARTS.has(name) || PART.test(name) || weightsFile([name]) !== null;

/** Why a file cannot be anything here, wherever it lies; null when it may be. */
function unusable({ path, size, unreadable }: FileItem): string | null {
  const parts = path.split('/');
  const name = parts.at(-1) ?? '';
  if (unreadable !== undefined) return `It cannot be read: ${unreadable.slice(0, 200)}`;
  if (parts.some((part) => HIDDEN.test(part))) return 'Hidden files and those of the system are not used.';
  const folder = parts.slice(0, -1).find((part) => PARTS.has(part));
  if (folder !== undefined) return `It lies in a folder named ${folder}, which should be a file.`;
  if (size === 0 && !EMPTY_BY_NATURE.has(name)) return 'It is empty.';
  return null;
}

/** What a file that was dropped by itself is; a text is why it is nothing. */
function loose(file: FileItem): 'file' | 'part' | { reason: string } {
  const name = baseName(file.path);
  const kind = file.head === undefined ? null : sniffContainer(file.head);
  // What PyTorch writes is a zip file inside.
  if (isPart(name) && kind !== 'gzip' && kind !== 'tar') {
    return kind === 'html' ? { reason: 'It is a web page, not what its name says.' } : 'part';
  }
  if (kind === 'gzip' || kind === 'tar') return 'file';
  if (kind === 'html')
    return { reason: 'It is a web page, not what its name says. Download the file again.' };
  if (kind !== null && kind !== 'unknown') {
    return { reason: `It is a ${kind} file. Unpack it and drop the folder, or pack it as .tar.gz.` };
  }
  if (DATA.test(name)) return 'file';
  if (ARCHIVE.test(name)) {
    return kind === null ? 'file' : { reason: 'It is no archive, whatever its name says. Get it again.' };
  }
  if (PACKED.test(name)) {
    return { reason: 'Only .tar.gz and .tar are read. Unpack it and drop the folder, or pack it so.' };
  }
  return { reason: 'No checkpoint, adapter, model or data file has such a name.' };
}

/** The files of one dropped folder. */
function sortFolder(name: string, files: readonly FileItem[], sorted: SortedDrop): void {
  if (files.length > MAX_DROPPED_FILES) {
    sorted.left.push({
      name,
      reason: `It holds more than ${String(MAX_DROPPED_FILES)} files. Drop the folder of one model or adapter.`,
    });
    return;
  }
  const inside: string[] = [];
  const packed: FileItem[] = [];
  for (const file of files) {
    const reason = unusable(file);
    if (reason !== null) sorted.left.push({ name: file.path, reason });
    else if (ARCHIVE.test(file.path) || PACKED.test(file.path)) packed.push(file);
    else inside.push(file.path);
  }
  if (inside.length > 0) sorted.inputs.push({ kind: 'folder', name, paths: inside });
  for (const file of packed) {
    const alone =
      inside.length === 0 ? loose(file) : { reason: 'An archive within a folder: drop it by itself.' };
    if (typeof alone === 'object') sorted.left.push({ name: file.path, reason: alone.reason });
    else sorted.inputs.push({ kind: 'file', name: baseName(file.path), paths: [file.path] });
  }
}

function sortLoose(files: readonly FileItem[], sorted: SortedDrop): void {
  const parts: string[] = [];
  for (const file of files) {
    const reason = unusable(file);
    const what = reason === null ? loose(file) : { reason };
    if (what === 'part') parts.push(file.path);
    else if (what === 'file') sorted.inputs.push({ kind: 'file', name: file.path, paths: [file.path] });
    else sorted.left.push({ name: file.path, reason: what.reason });
  }
  const [only] = parts;
  if (parts.length > 0 && only !== undefined) {
    const name = parts.length === 1 ? only : `${String(parts.length)} files`;
    sorted.inputs.push({ kind: 'folder', name, paths: parts });
  }
}

function leftText(text: string): SortedDrop['left'][number] {
  const shown = text.trim().slice(0, 80);
  const name = shown === '' ? 'A text' : `"${shown}"`;
  const reason = /^[a-z][a-z0-9+.-]*:\/\//i.test(text.trim())
    ? 'It is an address. Download the file and drop that.'
    : 'It is a text, not a file.';
  return { name, reason };
}

/** Folders without a file below them, and those that bear the name of a file. */
function sortFolders(folders: readonly string[], files: readonly FileItem[], sorted: SortedDrop): void {
  // All folders that have something in them; asking each file for each folder would be slow for a source tree.
  const filled = new Set<string>();
  for (const { path } of files) {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      if (filled.has(path.slice(0, at))) break;
      filled.add(path.slice(0, at));
    }
  }
  for (const path of new Set(folders)) {
    if (PARTS.has(baseName(path))) {
      sorted.left.push({ name: path, reason: 'It is a folder, where there should be a file of this name.' });
    } else if (!filled.has(path)) sorted.left.push({ name: path, reason: 'It is an empty folder.' });
  }
}

/** Sorts a drop. Every item is in one of the inputs, or is named in `left`, itself or by the folder around it. */
export function sortDropped(items: readonly DroppedItem[]): SortedDrop {
  const sorted: SortedDrop = { inputs: [], left: [] };
  const files = new Map<string, FileItem>();
  const folders: string[] = [];
  for (const item of items) {
    if (item.kind === 'text') sorted.left.push(leftText(item.text));
    else if (item.kind === 'folder') folders.push(plainPath(item.path));
    else {
      const file = { ...item, path: plainPath(item.path) };
      const first = files.get(file.path);
      if (first === undefined) files.set(file.path, file);
      else {
        const same = first.size === file.size && first.modified === file.modified;
        const reason = same ? 'It was dropped twice.' : 'Another file of the same name was dropped with it.';
        sorted.left.push({ name: file.path, reason });
      }
    }
  }
  const byFolder = new Map<string, FileItem[]>();
  for (const file of files.values()) {
    const top = file.path.slice(0, Math.max(0, file.path.indexOf('/')));
    const group = byFolder.get(top);
    if (group === undefined) byFolder.set(top, [file]);
    else group.push(file);
  }
  for (const [top, group] of byFolder) {
    if (top === '') sortLoose(group, sorted);
    else sortFolder(top, group, sorted);
  }
  sortFolders(folders, [...files.values()], sorted);
  return sorted;
}
