/** A first look at files that were dropped or picked: what they are, and what can be done with them. Nothing is changed. */
import type { ModelConfig } from '../engine/index.ts';
import { StudioError, toErrorFields, type ErrorFields } from '../errors.ts';
import type { ByteSource } from '../formats/bytes.ts';
import { withoutCommonFolder, type FileSet } from '../formats/file-set.ts';
import { sniffContainer } from '../formats/gzip.ts';
import { weightsFile, withLayout } from '../formats/import-layout.ts';
import { inspect } from '../formats/inspect.ts';
import { MANIFEST_FILE } from '../formats/manifest.ts';
import { ADAPTER_CONFIG } from '../formats/peft-read.ts';
import type { OpenModel } from '../run/open-model.ts';
import { openImport } from './import-files.ts';
import { adapterPeek, bytesText, unusablePeek } from './peek-adapter.ts';
import { aboutFromConfig } from './peek-config.ts';

export type PeekKind = 'checkpoint' | 'adapter' | 'trainer' | 'model' | 'data' | 'unknown';

/** `add` puts it on the list; the last two take it as the data or as the model. */
export type PeekActionName = 'add' | 'resume' | 'warm-start' | 'use-as-data' | 'use-as-model';

export interface PeekAction {
  name: PeekActionName;
  /** Why it cannot be done now, with the way out; null when it can. */
  blocked: string | null;
}

/** An adapter in figures; null for what its files do not say. */
export interface PeekAbout {
  /** Who wrote it; `service` is one that marks its checkpoints with `checkpoint_complete`. */
  source: 'lorikeet' | 'trainer' | 'service' | 'mlx' | 'peft';
  baseModel: string | null;
  rank: number | null;
  alpha: number | null;
  targets: string[];
  /** Optimizer steps done, and those of the whole run. */
  step: number | null;
  steps: number | null;
  /** There is a training state, and it can be read. */
  hasState: boolean;
  /** Unpacked. */
  bytes: number | null;
  files: number | null;
  /** Whether it goes with the loaded model; null when none is loaded. */
  fits: boolean | null;
}

/** Plain data, for whoever shows it. */
export interface Peek {
  kind: PeekKind;
  /** In a few words, such as `Checkpoint of Lorikeet, with everything to resume`. */
  title: string;
  /** What the person calls it. */
  name: string;
  /** Of an adapter. */
  about?: PeekAbout;
  facts: { label: string; value: string }[];
  actions: PeekAction[];
  /** What is odd about it, or lost. */
  notes: string[];
  /** Why it cannot be read at all; null when it can. */
  error: ErrorFields | null;
}

/** What is loaded now: an adapter either fits it or says why not. */
export type LoadedModel = Pick<OpenModel, 'id' | 'hashes'> & { config: ModelConfig };

const DATA_FILE = /\.(jsonl|ndjson|json|csv|tsv|txt)$/i;

function nothing(name: string, error: ErrorFields): Peek {
  const title = 'Nothing that can be used';
  return { kind: 'unknown', title, name, facts: [], actions: [], notes: [], error };
}

async function modelPeek(name: string, files: FileSet): Promise<Peek> {
  const found = await inspect(files);
  const problems = found.problems;
  const facts =
    found.kind === 'model'
      ? [
          { label: 'Family', value: found.family ?? 'not said' },
          { label: 'Parameters', value: `${(found.parameters / 1e6).toFixed(1)} M` },
        ]
      : [];
  return {
    kind: 'model',
    title: 'Model folder',
    name,
    facts: [
      ...facts,
      { label: 'Size', value: `${bytesText(found.totalBytes)} in ${String(found.files.length)} files` },
    ],
    actions: [{ name: 'use-as-model', blocked: problems[0] ?? null }],
    notes: problems.slice(1),
    error: null,
  };
}

function dataPeek(name: string, size: number): Peek {
  return {
    kind: 'data',
    title: 'Data file',
    name,
    facts: [{ label: 'Size', value: bytesText(size) }],
    actions: [{ name: 'use-as-data', blocked: null }],
    notes: [],
    error: null,
  };
}

async function readPeek(input: FileSet | ByteSource, loaded: LoadedModel | null): Promise<Peek> {
  const name = 'names' in input ? input.label : input.name;
  try {
    const files = await openImport(input);
    try {
      return await adapterPeek(name, files, loaded);
    } finally {
      await files.close();
    }
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    const adapterError = error.code === 'ADAPTER_UNSUPPORTED' || error.code === 'ADAPTER_INVALID';
    const about = adapterError ? await aboutFromConfig(input) : null;
    if (about === null) throw error;
    return unusablePeek(name, about, error);
  }
}

async function peekFolder(given: FileSet, loaded: LoadedModel | null): Promise<Peek> {
  const files = withoutCommonFolder(given);
  const names = files.names();
  const laid = names.includes(MANIFEST_FILE) ? names : withLayout(files).names();
  const adapter =
    laid.includes(MANIFEST_FILE) ||
    weightsFile(laid) !== null ||
    // Several adapters in a folder are named by who reads them.
    laid.some((name) => name === ADAPTER_CONFIG || name.endsWith(`/${ADAPTER_CONFIG}`));
  if (!adapter && (names.includes('config.json') || names.some((name) => name.endsWith('.safetensors')))) {
    return modelPeek(given.label, files);
  }
  const [only] = names;
  if (names.length === 1 && only !== undefined && DATA_FILE.test(only)) {
    return dataPeek(only, (await files.open(only)).size);
  }
  return readPeek(given, loaded);
}

async function peekFile(source: ByteSource, loaded: LoadedModel | null): Promise<Peek> {
  const kind = sniffContainer(await source.read(0, Math.min(512, source.size)));
  if (kind === 'tar' || kind === 'gzip') return readPeek(source, loaded);
  if (DATA_FILE.test(source.name) && kind === 'unknown') return dataPeek(source.name, source.size);
  throw new StudioError({
    code: 'ARCHIVE_INVALID',
    message: `${source.name} is ${kind === 'unknown' ? 'no file that is known here' : `a ${kind} file, which is not read`}.`,
    fix: 'Drop a .tar.gz or .tar with an adapter, a folder with an adapter or a model, or a data file (.jsonl, .json, .csv, .txt).',
  });
}

/**
 * Looks at one file or at a folder. What cannot be read is described by its error instead of thrown, so that there is
 * always something to show; an adapter that is refused is described by its config. An archive is read whole once,
 * streaming; that of a Trainer twice, and its optimizer is held meanwhile.
 */
export async function peek(input: FileSet | ByteSource, loaded: LoadedModel | null): Promise<Peek> {
  const name = 'names' in input ? input.label : input.name;
  try {
    return 'names' in input ? await peekFolder(input, loaded) : await peekFile(input, loaded);
  } catch (error) {
    return nothing(name, toErrorFields(error));
  }
}
