/** A stored checkpoint as what is needed to compute with it: adapter, tokenizer and card, no training state. */
import { compareBytes, textEntry, type FileEntry } from '../formats/file-entry.ts';
import { readText } from '../formats/file-set.ts';
import { isTrainerFile } from '../formats/hf-trainer.ts';
import { readPeftFolder, weightsFile } from '../formats/import-layout.ts';
import { MANIFEST_FILE, manifestText, MAX_MANIFEST_BYTES, parseManifest } from '../formats/manifest.ts';
import { TOKENIZER_FILES } from '../formats/model-folder.ts';
import { ADAPTER_WEIGHTS } from '../formats/peft-read.ts';
import { peftEntries, type AdapterDtype } from '../formats/peft-write.ts';
import { openSafetensors } from '../formats/safetensors-read.ts';
import { hasState } from '../formats/state-files.ts';
import type { StoredCheckpoint } from '../storage/stored-files.ts';
import { convertWeights } from './convert-weights.ts';

const isState = (path: string): boolean => hasState([path]) || isTrainerFile(path);

/** Our own: the stored files as they are, the weights in another dtype where that is asked for. */
async function ownEntries(stored: StoredCheckpoint, dtype: AdapterDtype | undefined): Promise<FileEntry[]> {
  const text = await readText(stored.files(), MANIFEST_FILE, MAX_MANIFEST_BYTES, 'ARCHIVE_INVALID');
  const { sha256Self: _, ...manifest } = parseManifest(text);
  const dtypes = new Set(Object.values(manifest.tensors).map((tensor) => tensor.dtype));
  const asStored = dtype === undefined || (dtypes.size === 1 && dtypes.has(dtype));
  const converted = asStored ? null : await convertWeights(stored.files(), dtype);
  const files = manifest.files
    .filter(({ path }) => !isState(path))
    .map((file) => (file.path === converted?.file.path ? converted.file : file));
  const tensors = converted?.tensors ?? manifest.tensors;
  const entries = stored
    .entries()
    .filter(({ path }) => path !== MANIFEST_FILE && !isState(path))
    .map((entry) => (entry.path === converted?.entry.path ? converted.entry : entry));
  return [
    textEntry(MANIFEST_FILE, manifestText({ ...manifest, kind: 'sampler', tensors, files })),
    ...entries,
  ];
}

/** What beside the tensors of another program's adapter means something elsewhere. */
const PASSED_ON: readonly string[] = ['README.md', ...TOKENIZER_FILES];

/** Another program's: the files it came in, or those of PEFT. */
async function foreignEntries(
  stored: StoredCheckpoint,
  dtype: AdapterDtype | undefined,
): Promise<FileEntry[]> {
  const entries = stored.entries();
  const files = stored.files();
  if (weightsFile(files.names()) === ADAPTER_WEIGHTS) {
    const tensors = (await openSafetensors(await files.open(ADAPTER_WEIGHTS))).list();
    if (dtype === undefined || tensors.every((tensor) => tensor.dtype === dtype)) {
      return entries.filter(({ path }) => !isTrainerFile(path));
    }
  }
  const { adapter, fanInFanOut } = await readPeftFolder(files);
  const converted = peftEntries(adapter, dtype ?? 'F32', { fanInFanOut, revision: null });
  const others = entries.filter(({ path }) => PASSED_ON.includes(path));
  return [...converted, ...others].sort((a, b) => compareBytes(a.path, b.path));
}

/** The files of a `sampler` export. */
export function samplerEntries(
  stored: StoredCheckpoint,
  dtype: AdapterDtype | undefined,
): Promise<FileEntry[]> {
  const own = stored.files().names().includes(MANIFEST_FILE);
  return own ? ownEntries(stored, dtype) : foreignEntries(stored, dtype);
}
