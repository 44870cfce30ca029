/** Files out of a drop, folders opened, each with its path. */
import type { PickedFile } from '../stores/model-store.ts';

/** More than any model folder holds; a home folder dropped by mistake ends here. */
const MAX_FILES = 1000;

export interface Dropped {
  files: PickedFile[];
  /** What could not be read, by name and reason. */
  left: string[];
}

/** Reads a drop. Must be called in the drop event itself: its items are gone after that. */
export async function droppedItems(transfer: DataTransfer): Promise<Dropped> {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  const found: Dropped = { files: [], left: [] };
  await Promise.all(entries.map((entry) => collect(entry, found)));
  // A file that a page made is in no file system, and has no entry.
  if (entries.length === 0)
    found.files.push(...[...transfer.files].map((file) => ({ path: file.name, file })));
  found.files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return found;
}

/** The files of a drop alone. */
export async function droppedFiles(transfer: DataTransfer): Promise<PickedFile[]> {
  return (await droppedItems(transfer)).files;
}

async function collect(entry: FileSystemEntry, found: Dropped): Promise<void> {
  const name = entry.fullPath.replace(/^\//, '');
  if (found.files.length > MAX_FILES) return;
  if (found.files.length === MAX_FILES)
    found.left.push(`${name}: More than ${MAX_FILES} files were dropped.`);
  try {
    if (isFile(entry)) {
      const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
      found.files.push({ path: name, file });
    } else if (isFolder(entry)) {
      for (const child of await readFolder(entry)) await collect(child, found);
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    found.left.push(`${name}: It could not be read (${reason}).`);
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}

/** A reader hands out entries in portions; an empty portion is the end. */
async function readFolder(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const portion = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (portion.length === 0) return all;
    all.push(...portion);
  }
}

/** Files of a file input; a folder input gives them their paths. */
export function inputFiles(list: FileList): PickedFile[] {
  return [...list].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}
