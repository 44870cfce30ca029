/** Small adapters with a value of their own in every element, for the tests of this folder. */
import type { Adapter, AdapterTensor, LoraSettings } from './adapter.ts';
import { memoryFileSet, type FileSet } from './file-set.ts';
import { peftEntries, type AdapterDtype } from './peft-write.ts';
import { collect } from './testing.ts';

export const LLAMA_MODULES: Readonly<Record<string, readonly [number, number]>> = {
  'self_attn.q_proj': [8, 8],
  'self_attn.v_proj': [8, 4],
  'mlp.down_proj': [12, 8],
};

/** An adapter of a two-layer Llama-like model; `paths` maps module paths to [in, out]. */
export function testAdapter(
  changes: Partial<LoraSettings> = {},
  paths: Readonly<Record<string, readonly [number, number]>> = llamaPaths(2),
): Adapter {
  const settings: LoraSettings = {
    rank: 2,
    alpha: 4,
    dropout: 0,
    rslora: false,
    targetModules: [
      ...new Set(Object.keys(paths).map((path) => path.slice(path.lastIndexOf('.') + 1))),
    ].sort(),
    rankPattern: {},
    alphaPattern: {},
    ...changes,
  };
  let next = 0;
  const tensor = (name: string, rows: number, columns: number): AdapterTensor => ({
    name,
    shape: [rows, columns],
    data: Float32Array.from({ length: rows * columns }, () => Math.fround(Math.sin(++next))),
  });
  const tensors = Object.entries(paths).flatMap(([path, [inputs, outputs]]) => {
    const rank = settings.rankPattern[path] ?? settings.rank;
    return [tensor(`${path}.lora_A.weight`, rank, inputs), tensor(`${path}.lora_B.weight`, outputs, rank)];
  });
  return { settings, baseModel: 'acme/tiny-llama', tensors };
}

/** The modules of `layers` layers, in the order of the model. */
export function llamaPaths(layers: number): Record<string, readonly [number, number]> {
  return Object.fromEntries(
    Array.from({ length: layers }, (_, i) =>
      Object.entries(LLAMA_MODULES).map(
        ([inner, shape]) => [`model.layers.${String(i)}.${inner}`, shape] as const,
      ),
    ).flat(),
  );
}

/** The files of an adapter folder in memory. */
export async function adapterFiles(
  adapter: Adapter,
  dtype: AdapterDtype = 'F32',
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const entry of peftEntries(adapter, dtype, { fanInFanOut: false, revision: null })) {
    files.set(entry.path, await collect(entry.chunks()));
  }
  return files;
}

/** The adapter as a folder, with some files replaced (text) or taken away (null). */
export async function adapterFolder(
  changes: Readonly<Record<string, string | Uint8Array<ArrayBuffer> | null>> = {},
  adapter: Adapter = testAdapter(),
): Promise<FileSet> {
  const files = await adapterFiles(adapter);
  for (const [name, content] of Object.entries(changes)) {
    if (content === null) files.delete(name);
    else files.set(name, typeof content === 'string' ? new TextEncoder().encode(content) : content);
  }
  return memoryFileSet('my-adapter', files);
}
