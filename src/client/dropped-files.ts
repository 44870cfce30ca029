/** Files out of a drop, folders opened, each with its path. */
import type { PickedFile } from '../stores/model-store.ts';

/** More than any model folder holds; a home folder dropped by mistake ends here. */
const MAX_FILES = 500;

/** Reads a drop. Must be called in the drop event itself: its items are gone after that. */
export async function droppedFiles(transfer: DataTransfer): Promise<PickedFile[]> {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  const found: PickedFile[] = [];
  await Promise.all(entries.map((entry) => collect(entry, found)));
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function collect(entry: FileSystemEntry, found: PickedFile[]): Promise<void> {
  if (found.length >= MAX_FILES) return;
  if (isFile(entry)) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
    found.push({ path: entry.fullPath.replace(/^\//, ''), file });
  } else if (isFolder(entry)) {
    for (const child of await readFolder(entry)) await collect(child, found);
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
