/** A first look at files that were dropped or picked: what they are, and what can be done with them. Nothing is changed. */
import { layoutAdapter, type ModelConfig } from '../engine/index.ts';
import { StudioError, toErrorFields, type ErrorFields } from '../errors.ts';
import { readAdapter, type AdapterRead } from '../formats/archive-read.ts';
import type { ByteSource } from '../formats/bytes.ts';
import { withoutCommonFolder, type FileSet } from '../formats/file-set.ts';
import { sniffContainer } from '../formats/gzip.ts';
import { hasTrainerState } from '../formats/hf-trainer.ts';
import { weightsFile, withLayout } from '../formats/import-layout.ts';
import { MANIFEST_FILE } from '../formats/manifest.ts';
import { ADAPTER_CONFIG } from '../formats/peft-read.ts';
import { hasState } from '../formats/state-files.ts';
import { checkBase } from '../run/restore.ts';
import type { OpenModel } from '../run/open-model.ts';

export type PeekKind = 'checkpoint' | 'adapter' | 'trainer' | 'model' | 'data' | 'unknown';

/** `add` puts it on the list; the last two take it as the data or as the model. */
export type PeekActionName = 'add' | 'resume' | 'warm-start' | 'use-as-data' | 'use-as-model';

export interface PeekAction {
  name: PeekActionName;
  /** Why it cannot be done now, with the way out; null when it can. */
  blocked: string | null;
}

export interface Peek {
  kind: PeekKind;
  /** In a few words, such as `Checkpoint of Lorikeet, with everything to resume`. */
  title: string;
  /** What the person calls it. */
  name: string;
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
const bytesText = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

function nothing(name: string, error: ErrorFields): Peek {
  return {
    kind: 'unknown',
    title: 'Nothing that can be used',
    name,
    facts: [],
    actions: [],
    notes: [],
    error,
  };
}

function plainFile(kind: 'data' | 'model', name: string, title: string, facts: Peek['facts']): Peek {
  const action: PeekActionName = kind === 'data' ? 'use-as-data' : 'use-as-model';
  return {
    kind,
    title,
    name,
    facts,
    actions: [{ name: action, blocked: null }],
    notes: [],
    error: null,
  };
}

/** Why an adapter does not go with the loaded model; null when it does, or when nothing is loaded. */
function misfit(read: AdapterRead, loaded: LoadedModel | null): string | null {
  if (loaded === null) return 'Load its base model first.';
  try {
    if (read.manifest !== null) checkBase(read.manifest.base, loaded);
    const layout = layoutAdapter(loaded.config, read.adapter.settings);
    const known = new Map(
      layout.modules.flatMap(({ path, rank, in: inSize, out }) => [
        [`${path}.lora_A.weight`, `${String(rank)}x${String(inSize)}`],
        [`${path}.lora_B.weight`, `${String(out)}x${String(rank)}`],
      ]),
    );
    const wrong = read.adapter.tensors.find(({ name, shape }) => known.get(name) !== shape.join('x'));
    if (wrong !== undefined || known.size !== read.adapter.tensors.length) {
      const what = wrong === undefined ? 'the number of its layers' : wrong.name;
      return `It does not fit ${loaded.id}: ${what} differs. Load its base model.`;
    }
    return null;
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    return `${error.message} ${error.fix}`;
  }
}

function adapterPeek(name: string, read: AdapterRead, loaded: LoadedModel | null): Peek {
  const { manifest, adapter, files } = read;
  const names = files.map(({ path }) => path);
  const trainer = hasTrainerState(names);
  const full = manifest?.kind === 'full' && hasState(names);
  const { settings } = adapter;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const blocked = misfit(read, loaded);
  const title = full
    ? 'Checkpoint of Lorikeet, with everything to resume'
    : trainer
      ? 'Checkpoint of a HuggingFace Trainer'
      : manifest === null
        ? 'Adapter of another program'
        : 'Adapter of Lorikeet, without training state';
  return {
    kind: full ? 'checkpoint' : trainer ? 'trainer' : 'adapter',
    title,
    name,
    facts: [
      { label: 'Base model', value: manifest?.base.id ?? adapter.baseModel ?? 'not said' },
      { label: 'Rank', value: String(settings.rank) },
      { label: 'Alpha', value: String(settings.alpha) },
      { label: 'Layers', value: settings.targetModules.join(', ') },
      ...(manifest === null
        ? []
        : [
            { label: 'Checkpoint', value: manifest.name },
            { label: 'Step', value: String(manifest.step) },
            { label: 'Saved', value: manifest.createdAt },
          ]),
      { label: 'Size', value: `${bytesText(size)} in ${String(files.length)} files` },
    ],
    actions: [
      { name: 'add', blocked: null },
      {
        name: 'resume',
        blocked: full
          ? null
          : trainer
            ? 'A Trainer checkpoint is resumed by the command line: lorikeet finetune --resume.'
            : 'It has no training state. A warm start takes its weights.',
      },
      { name: 'warm-start', blocked },
    ],
    notes: [...read.warnings],
    error: null,
  };
}

async function peekFolder(given: FileSet, loaded: LoadedModel | null): Promise<Peek> {
  const files = withoutCommonFolder(given);
  const names = files.names();
  const laid = names.includes(MANIFEST_FILE) ? names : withLayout(files).names();
  const adapter = laid.includes(MANIFEST_FILE) || laid.includes(ADAPTER_CONFIG) || weightsFile(laid) !== null;
  if (!adapter && (names.includes('config.json') || names.some((name) => name.endsWith('.safetensors')))) {
    const facts = [{ label: 'Files', value: String(names.length) }];
    return plainFile('model', given.label, 'Model folder', facts);
  }
  const [only] = names;
  if (names.length === 1 && only !== undefined && DATA_FILE.test(only)) {
    const { size } = await files.open(only);
    return plainFile('data', only, 'Data file', [{ label: 'Size', value: bytesText(size) }]);
  }
  return adapterPeek(given.label, await readAdapter(given), loaded);
}

async function peekFile(source: ByteSource, loaded: LoadedModel | null): Promise<Peek> {
  const kind = sniffContainer(await source.read(0, Math.min(512, source.size)));
  if (kind === 'tar' || kind === 'gzip') return adapterPeek(source.name, await readAdapter(source), loaded);
  if (DATA_FILE.test(source.name) && kind === 'unknown') {
    const facts = [{ label: 'Size', value: bytesText(source.size) }];
    return plainFile('data', source.name, 'Data file', facts);
  }
  throw new StudioError({
    code: 'ARCHIVE_INVALID',
    message: `${source.name} is ${kind === 'unknown' ? 'no file that is known here' : `a ${kind} file, which is not read`}.`,
    fix: 'Drop a .tar.gz or .tar with an adapter, a folder with an adapter or a model, or a data file (.jsonl, .json, .csv, .txt).',
  });
}

/**
 * Looks at one file or at a folder. What cannot be read is described by its error instead of thrown, so that there is
 * always something to show. An archive is read whole once, streaming.
 */
export async function peek(input: FileSet | ByteSource, loaded: LoadedModel | null): Promise<Peek> {
  const name = 'names' in input ? input.label : input.name;
  try {
    return 'names' in input ? await peekFolder(input, loaded) : await peekFile(input, loaded);
  } catch (error) {
    return nothing(name, toErrorFields(error));
  }
}
