/**
 * Text work on kernels: joins libraries, adds the one-line prelude, and reads bindings and `Params` from the source,
 * so that TypeScript names them instead of counting them.
 */
import { shaderText } from './shaders.ts';

/** Array sizes in WGSL must be constants, not overrides; they come in by this prelude, e.g. `{ HEAD_VEC4: 16 }`. */
export type Prelude = Readonly<Record<string, number>>;

export interface KernelSource {
  code: string;
  /** Optional features of the device that it needs. */
  features: string[];
  /** Storage and uniform bindings by name, with their number. */
  bindings: Map<string, { index: number; kind: 'storage' | 'uniform' }>;
  /** Fields of `struct Params` in order; every field is one 32-bit scalar. */
  params: { name: string; type: 'u32' | 'f32' }[];
}

/**
 * Composes `shaders/<name>.wgsl`: the features it names by `//#enable x`, the prelude, the libraries it names by
 * `//#include lib/x`, then the file.
 */
export function kernelSource(name: string, prelude: Prelude = {}): KernelSource {
  const body = shaderText(name);
  const includes = [...body.matchAll(/^\/\/#include (\S+)$/gm)].map((match) => shaderText(match[1] ?? ''));
  const constants = Object.entries(prelude).map(([key, value]) => `const ${key} = ${value}u;`);
  const features = [...body.matchAll(/^\/\/#enable (\S+)$/gm)].map((match) => match[1] ?? '');
  const enable = features.map((feature) => `enable ${feature};`);
  const code = [[...enable, ...constants].join(' '), ...includes, body].join('\n');
  return { code, features, bindings: readBindings(code), params: readParams(code) };
}

function readBindings(code: string): KernelSource['bindings'] {
  const bindings: KernelSource['bindings'] = new Map();
  for (const match of code.matchAll(/@group\(0\)\s*@binding\((\d+)\)\s*var<(\w+)[^>]*>\s*(\w+)/g)) {
    const [, index = '', kind = '', name = ''] = match;
    bindings.set(name, { index: Number(index), kind: kind === 'uniform' ? 'uniform' : 'storage' });
  }
  return bindings;
}

function readParams(code: string): KernelSource['params'] {
  const struct = /struct Params \{([^}]*)\}/.exec(code);
  if (struct?.[1] === undefined) return [];
  const plain = struct[1].replace(/\/\/.*$/gm, '');
  return [...plain.matchAll(/(\w+)\s*:\s*(u32|f32)/g)].map(([, name = '', type]) => ({
    name,
    type: type === 'f32' ? 'f32' : 'u32',
  }));
}

/** Writes `values` in the order of the struct. Throws when a field is missing or unknown. */
export function packParams(
  kernel: string,
  fields: KernelSource['params'],
  values: Readonly<Record<string, number>>,
): ArrayBuffer {
  const unknown = Object.keys(values).filter((name) => !fields.some((field) => field.name === name));
  if (unknown.length > 0) throw new Error(`${kernel}: Params has no ${unknown.join(', ')}.`);
  const buffer = new ArrayBuffer(Math.max(16, Math.ceil(fields.length / 4) * 16));
  const view = new DataView(buffer);
  fields.forEach(({ name, type }, index) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${kernel}: Params.${name} is missing.`);
    if (type === 'u32') view.setUint32(index * 4, value, true);
    else view.setFloat32(index * 4, value, true);
  });
  return buffer;
}
