/**
 * A trained adapter as the files of an export: the root is a PEFT folder, checkpoint.json comes first, the rest
 * follows by path. The same content gives the same bytes, but for ids and times, which only the manifest holds.
 */
import { StudioError } from '../errors.ts';
import type { Adapter } from './adapter.ts';
import { bytesEntry, compareBytes, textEntry, type FileEntry } from './file-entry.ts';
import { encodeFloats } from './float-codec.ts';
import { gzip } from './gzip.ts';
import { OPTIMIZER_PT } from './hf-optimizer.ts';
import { SCHEDULER_PT } from './hf-scheduler.ts';
import { TRAINER_STATE } from './hf-state.ts';
import { FORMAT_VERSION, MANIFEST_FILE, manifestLora, manifestText, type Manifest } from './manifest.ts';
import { modelCard, type CardFields } from './model-card.ts';
import { KEY_PREFIX } from './peft-keys.ts';
import { peftEntries, type AdapterDtype } from './peft-write.ts';
import { Sha256 } from './sha256.ts';
import { toStream, type Chunk } from './streams.ts';
import { tarChunks } from './tar-write.ts';

export interface AdapterExport {
  adapter: Adapter;
  base: Manifest['base'];
  /** Ids, name and time of the checkpoint; from where it is stored, never made at the moment of the export. */
  run: Pick<Manifest, 'id' | 'runId' | 'parentId' | 'name' | 'step' | 'createdAt' | 'appVersion'>;
  optimizer: Manifest['optimizer'];
  metrics: Manifest['metrics'];
  determinism: Manifest['determinism'];
  dtype: AdapterDtype;
  /** True for base models with Conv1D layers (GPT-2). */
  fanInFanOut: boolean;
  /** The tokenizer's files, byte for byte. */
  tokenizerFiles: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** Entries below `state/`; with them the export is `full`, without any state `sampler`. */
  stateFiles?: readonly FileEntry[];
  /** What a HuggingFace Trainer resumes from, instead; everything then lies in a folder `checkpoint-<step>`. */
  trainerFiles?: readonly FileEntry[];
  card: CardFields;
}

async function describeFile(entry: FileEntry): Promise<Manifest['files'][number]> {
  const hash = new Sha256();
  for await (const chunk of entry.chunks()) hash.update(chunk);
  return { path: entry.path, size: entry.size, sha256: hash.hex() };
}

/** The SHA-256 of a tensor's bytes, by the host's own code: an adapter may have many megabytes. */
async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function describeTensors(
  adapter: Pick<Adapter, 'tensors'>,
  dtype: AdapterDtype,
): Promise<Manifest['tensors']> {
  const described: Manifest['tensors'] = {};
  for (const { name, shape, data } of adapter.tensors) {
    const sha256 = await digest(encodeFloats(dtype, data));
    described[KEY_PREFIX + name] = { dtype, shape: [...shape], sha256 };
  }
  return described;
}

const TRAINER_FILES: readonly string[] = [OPTIMIZER_PT, SCHEDULER_PT, TRAINER_STATE];

function checkPaths(entries: readonly FileEntry[], { stateFiles, trainerFiles }: ExportContent): void {
  const paths = entries.map((entry) => entry.path);
  const stray =
    stateFiles?.find((entry) => !entry.path.startsWith('state/'))?.path ??
    trainerFiles?.find((entry) => !TRAINER_FILES.includes(entry.path))?.path;
  const twice = paths.find((path, i) => paths.indexOf(path) !== i);
  const both = stateFiles !== undefined && trainerFiles !== undefined ? TRAINER_STATE : undefined;
  const wrong = stray ?? twice ?? both;
  if (wrong === undefined) return;
  throw new StudioError({
    code: 'INTERNAL',
    message: `The export cannot hold the entry ${wrong}.`,
    fix: 'This is a bug in Lorikeet. Please report it with this message.',
  });
}

function kindOf({ stateFiles, trainerFiles }: AdapterExport): Manifest['kind'] {
  if (trainerFiles !== undefined) return 'hf-trainer';
  return stateFiles === undefined ? 'sampler' : 'full';
}

/** The entries inside a folder. */
function inFolder(folder: string, entries: readonly FileEntry[]): FileEntry[] {
  return entries.map((entry) => ({
    path: `${folder}/${entry.path}`,
    size: entry.size,
    chunks: () => entry.chunks(),
  }));
}

/** What the files besides checkpoint.json are made of. */
export type ExportContent = Omit<AdapterExport, 'run' | 'optimizer' | 'metrics' | 'determinism'>;

/** Every file of an export but checkpoint.json, by path. */
export function contentEntries(what: ExportContent): FileEntry[] {
  const adapter = { ...what.adapter, baseModel: what.base.id };
  const entries: FileEntry[] = [
    ...peftEntries(adapter, what.dtype, { fanInFanOut: what.fanInFanOut, revision: what.base.revision }),
    textEntry('README.md', modelCard(what.base.id, adapter.settings, what.card)),
    ...Array.from(what.tokenizerFiles, ([name, bytes]) => bytesEntry(name, bytes)),
    ...(what.stateFiles ?? []),
    ...(what.trainerFiles ?? []),
  ];
  checkPaths(entries, what);
  return entries.sort((a, b) => compareBytes(a.path, b.path));
}

/** The members of checkpoint.json that say what the adapter's tensors are, in their order. */
export async function describeAdapter(
  adapter: Pick<Adapter, 'tensors'>,
  dtype: AdapterDtype,
): Promise<Pick<Manifest, 'paramOrder' | 'tensors'>> {
  return {
    paramOrder: adapter.tensors.map((tensor) => KEY_PREFIX + tensor.name),
    tensors: await describeTensors(adapter, dtype),
  };
}

/** The files of an export in their order; hashes everything once, since the manifest comes first. */
export async function archiveEntries(what: AdapterExport): Promise<FileEntry[]> {
  const { adapter } = what;
  const entries = contentEntries(what);
  const files: Manifest['files'] = [];
  for (const entry of entries) files.push(await describeFile(entry));
  const manifest = manifestText({
    formatVersion: FORMAT_VERSION,
    kind: kindOf(what),
    ...what.run,
    base: what.base,
    lora: manifestLora(adapter.settings),
    optimizer: what.optimizer,
    ...(await describeAdapter(adapter, what.dtype)),
    files,
    metrics: what.metrics,
    determinism: what.determinism,
  });
  const all = [textEntry(MANIFEST_FILE, manifest), ...entries];
  return what.trainerFiles === undefined ? all : inFolder(`checkpoint-${String(what.run.step)}`, all);
}

/** The entries as a tar stream; the same bytes for the same entries. */
export function toTar(entries: readonly FileEntry[]): ReadableStream<Chunk> {
  return toStream(tarChunks(entries));
}

/** The entries as a .tar.gz stream, made while it is read. */
export function toTarGz(entries: readonly FileEntry[]): ReadableStream<Chunk> {
  return gzip(tarChunks(entries));
}
