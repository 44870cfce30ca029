/** Two checkpoints side by side: figures, settings, and how far their weights are from each other, tensor by tensor. */
import type { Adapter } from '../formats/adapter.ts';
import type { FileSet } from '../formats/file-set.ts';
import { readText } from '../formats/file-set.ts';
import { readPeftFolder } from '../formats/import-layout.ts';
import { MANIFEST_FILE, MAX_MANIFEST_BYTES, parseManifest, type Manifest } from '../formats/manifest.ts';
import { TRAINER_FILE } from '../formats/state-files.ts';
import { parseStrictObject, type JsonValue } from '../formats/strict-json.ts';

export interface TensorComparison {
  name: string;
  shape: readonly number[];
  /** L2 norms of both, and of their difference. */
  normA: number;
  normB: number;
  difference: number;
  /** Of the angle between both; null where one is zero. */
  cosine: number | null;
}

export interface Comparison {
  /** Figures of both, by name; null where one has none. */
  metrics: { name: string; a: number | null; b: number | null }[];
  /** Settings that differ, as text. */
  settings: { name: string; a: string; b: string }[];
  tensors: TensorComparison[];
  /** Names of tensors that only one has, or that have another shape. */
  onlyA: string[];
  onlyB: string[];
  /** Over all tensors that both have. */
  total: { normA: number; normB: number; difference: number; cosine: number | null };
}

const MAX_TRAINER_BYTES = 16 * 2 ** 20;

async function manifestOf(files: FileSet): Promise<Manifest | null> {
  if (!files.names().includes(MANIFEST_FILE)) return null;
  return parseManifest(await readText(files, MANIFEST_FILE, MAX_MANIFEST_BYTES, 'ARCHIVE_INVALID'));
}

/** Settings as flat text: the adapter's, the optimizer's, and those of the run. */
async function settingsOf(
  files: FileSet,
  manifest: Manifest | null,
  { settings: lora }: Adapter,
): Promise<Map<string, string>> {
  const flat = new Map<string, string>();
  const put = (prefix: string, values: Record<string, unknown>): void => {
    for (const [name, value] of Object.entries(values)) flat.set(prefix + name, JSON.stringify(value));
  };
  const { rank, alpha, dropout, rslora, targetModules, rankPattern, alphaPattern } = lora;
  put('lora.', { rank, alpha, dropout, rslora, targetModules, rankPattern, alphaPattern });
  if (manifest !== null) {
    put('base.', { id: manifest.base.id, revision: manifest.base.revision });
    put('optimizer.', manifest.optimizer);
    put('', { device: manifest.determinism.adapter });
  }
  if (files.names().includes(TRAINER_FILE)) {
    const text = await readText(files, TRAINER_FILE, MAX_TRAINER_BYTES, 'STATE_INVALID');
    const settings: JsonValue | undefined = parseStrictObject(text, {
      what: TRAINER_FILE,
      code: 'STATE_INVALID',
    })['settings'];
    if (typeof settings === 'object' && settings !== null) put('', settings as Record<string, unknown>);
  }
  return flat;
}

interface Sums {
  aa: number;
  bb: number;
  ab: number;
  dd: number;
}

function addUp(a: Float32Array, b: Float32Array): Sums {
  const sums: Sums = { aa: 0, bb: 0, ab: 0, dd: 0 };
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] ?? 0, b[i] ?? 0];
    sums.aa += x * x;
    sums.bb += y * y;
    sums.ab += x * y;
    sums.dd += (x - y) * (x - y);
  }
  return sums;
}

function figures({ aa, bb, ab, dd }: Sums): Comparison['total'] {
  const cosine = aa === 0 || bb === 0 ? null : Math.max(-1, Math.min(1, ab / Math.sqrt(aa * bb)));
  return { normA: Math.sqrt(aa), normB: Math.sqrt(bb), difference: Math.sqrt(dd), cosine };
}

/**
 * Compares two checkpoints, tensor by tensor, in float64; of any kind and from any program. Takes the memory of both
 * adapters as float32. Throws what reading an adapter throws.
 */
export async function compareCheckpoints(a: FileSet, b: FileSet): Promise<Comparison> {
  const [manifestA, manifestB] = [await manifestOf(a), await manifestOf(b)];
  const [readA, readB] = [await readPeftFolder(a), await readPeftFolder(b)];
  const left = await settingsOf(a, manifestA, readA.adapter);
  const right = await settingsOf(b, manifestB, readB.adapter);
  const ofB = new Map(readB.adapter.tensors.map((tensor) => [tensor.name, tensor]));
  const tensors: TensorComparison[] = [];
  const onlyA: string[] = [];
  const all: Sums = { aa: 0, bb: 0, ab: 0, dd: 0 };
  for (const { name, shape, data } of readA.adapter.tensors) {
    const other = ofB.get(name);
    if (other === undefined || other.shape.join() !== shape.join()) {
      onlyA.push(name);
      continue;
    }
    ofB.delete(name);
    const sums = addUp(data, other.data);
    for (const key of ['aa', 'bb', 'ab', 'dd'] as const) all[key] += sums[key];
    tensors.push({ name, shape, ...figures(sums) });
  }
  const names = (x: object = {}, y: object = {}): string[] =>
    [...new Set([...Object.keys(x), ...Object.keys(y)])].sort();
  return {
    metrics: names(manifestA?.metrics, manifestB?.metrics).map((name) => ({
      name,
      a: manifestA?.metrics[name] ?? null,
      b: manifestB?.metrics[name] ?? null,
    })),
    settings: [...new Set([...left.keys(), ...right.keys()])].sort().flatMap((name) => {
      const [x, y] = [left.get(name) ?? 'none', right.get(name) ?? 'none'];
      return x === y ? [] : [{ name, a: x, b: y }];
    }),
    tensors,
    onlyA,
    onlyB: [...ofB.keys()],
    total: figures(all),
  };
}
