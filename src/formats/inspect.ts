/** What a path holds, as a plain object for `lorikeet inspect` and for a look before an import. */
import { StudioError } from '../errors.ts';
import { readAdapter, type AdapterRead } from './archive-read.ts';
import type { ByteSource } from './bytes.ts';
import { readText, withoutCommonFolder, type FileSet } from './file-set.ts';
import { sniffContainer } from './gzip.ts';
import { MANIFEST_FILE } from './manifest.ts';
import { readModelFolder } from './model-folder.ts';
import { ADAPTER_CONFIG } from './peft-read.ts';
import { consumerWarnings } from './peft-write.ts';
import { openWeights } from './sharded.ts';
import { parseStrictObject, type JsonObject } from './strict-json.ts';
import type { TensorInfo } from './tensors.ts';

export interface FileSize {
  path: string;
  size: number;
}

export interface ModelInspection {
  kind: 'model';
  /** First of `architectures`, such as `LlamaForCausalLM`; null when the config does not say. */
  architecture: string | null;
  /** `model_type`, such as `llama`. */
  family: string | null;
  parameters: number;
  /** Parameters by dtype. */
  dtypes: Record<string, number>;
  layers: number | null;
  hiddenSize: number | null;
  vocabSize: number | null;
  tensors: number;
  hasChatTemplate: boolean;
  files: FileSize[];
  totalBytes: number;
  problems: string[];
}

export interface AdapterInspection {
  kind: 'adapter';
  container: AdapterRead['container'];
  baseModel: string | null;
  rank: number;
  alpha: number;
  rslora: boolean;
  /** Layer names. */
  targets: string[];
  parameters: number;
  dtypes: string[];
  layers: number;
  /** From the manifest; null for an adapter that did not come from Lorikeet. */
  checkpoint: {
    kind: string;
    id: string;
    runId: string;
    name: string;
    step: number;
    createdAt: string;
    metrics: Record<string, number>;
  } | null;
  files: FileSize[];
  totalBytes: number;
  problems: string[];
}

export type Inspection = ModelInspection | AdapterInspection;

const total = (files: readonly FileSize[]): number => files.reduce((sum, file) => sum + file.size, 0);
const elements = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

function numberOf(config: JsonObject, ...fields: string[]): number | null {
  const value = fields.map((field) => config[field]).find((field) => typeof field === 'number');
  return typeof value === 'number' ? value : null;
}

/** Runs a step; a problem is noted instead of thrown, since an inspection reports everything it can. */
async function attempt<T>(problems: string[], step: () => Promise<T>): Promise<T | null> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    const line = `${error.code}: ${error.message}`;
    if (!problems.includes(line)) problems.push(line);
    return null;
  }
}

async function inspectModel(files: FileSet): Promise<ModelInspection> {
  const problems: string[] = [];
  const model = await attempt(problems, () => readModelFolder(files));
  const config =
    model?.config ??
    (await attempt(problems, async () =>
      parseStrictObject(await readText(files, 'config.json', 2 ** 20), { what: 'config.json' }),
    )) ??
    {};
  const tensors: readonly TensorInfo[] =
    (await attempt(problems, async () => (await openWeights(files)).list())) ?? [];
  const dtypes: Record<string, number> = {};
  for (const { dtype, shape } of tensors) dtypes[dtype] = (dtypes[dtype] ?? 0) + elements(shape);
  const sizes: FileSize[] = [];
  for (const path of files.names()) sizes.push({ path, size: (await files.open(path)).size });
  const architectures = config['architectures'];
  const architecture = Array.isArray(architectures) ? architectures[0] : undefined;
  const family = config['model_type'];
  return {
    kind: 'model',
    architecture: typeof architecture === 'string' ? architecture : null,
    family: typeof family === 'string' ? family : null,
    parameters: Object.values(dtypes).reduce((sum, count) => sum + count, 0),
    dtypes,
    layers: numberOf(config, 'num_hidden_layers', 'n_layer'),
    hiddenSize: numberOf(config, 'hidden_size', 'n_embd'),
    vocabSize: numberOf(config, 'vocab_size'),
    tensors: tensors.length,
    hasChatTemplate:
      (model?.chatTemplate ?? null) !== null ||
      (model?.tokenizerConfigJson ?? '').includes('"chat_template"'),
    files: sizes,
    totalBytes: total(sizes),
    problems,
  };
}

function describeAdapter(read: AdapterRead): AdapterInspection {
  const { adapter, manifest } = read;
  const { settings } = adapter;
  const numbers = adapter.tensors.flatMap(({ name }) => /\.(\d+)\./.exec(name)?.[1] ?? []);
  return {
    kind: 'adapter',
    container: read.container,
    baseModel: adapter.baseModel,
    rank: settings.rank,
    alpha: settings.alpha,
    rslora: settings.rslora,
    targets: settings.targetModules,
    parameters: adapter.tensors.reduce((sum, tensor) => sum + tensor.data.length, 0),
    dtypes: [...read.dtypes],
    layers: new Set(numbers).size,
    checkpoint:
      manifest === null
        ? null
        : {
            kind: manifest.kind,
            id: manifest.id,
            runId: manifest.runId,
            name: manifest.name,
            step: manifest.step,
            createdAt: manifest.createdAt,
            metrics: manifest.metrics,
          },
    files: [...read.files],
    totalBytes: total(read.files),
    problems: [...read.warnings, ...consumerWarnings(settings, read.fanInFanOut)],
  };
}

/**
 * Describes a model folder, an adapter folder or an adapter archive. A model with missing parts is described with its
 * problems; what is none of these, or an adapter that cannot be read, is an error.
 */
export async function inspect(input: FileSet | ByteSource): Promise<Inspection> {
  if (!('names' in input)) {
    const kind = sniffContainer(await input.read(0, Math.min(512, input.size)));
    if (kind !== 'tar' && kind !== 'gzip') {
      throw new StudioError({
        code: 'ARCHIVE_INVALID',
        message: `${input.name} is neither a .tar nor a .tar.gz archive${kind === 'unknown' ? '' : ` but ${kind}`}.`,
        fix: 'Choose a model folder, an adapter folder, or an adapter archive.',
      });
    }
    return describeAdapter(await readAdapter(input));
  }
  const files = withoutCommonFolder(input);
  const names = files.names();
  if (names.includes(ADAPTER_CONFIG) || names.includes(MANIFEST_FILE)) {
    return describeAdapter(await readAdapter(files));
  }
  if (names.some((name) => name === 'config.json' || name.endsWith('.safetensors')))
    return inspectModel(files);
  return describeAdapter(await readAdapter(files));
}
