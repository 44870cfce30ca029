/**
 * Where an adapter's factors lie in the flat float32 buffers (parameters, gradients, both moments share one layout).
 * Ranks and outputs are padded to whole blocks of 4 with zeros, which stay zero; slices begin at 256 bytes, the alignment
 * of storage bindings, so that each slice can be bound on its own.
 */
import { StudioError } from '../../errors.ts';
import type { Adapter, AdapterTensor, LoraSettings } from '../../formats/adapter.ts';
import type { ModelConfig } from './config.ts';
import { layerLinears, layerPrefix, moduleSuffix, targetNames } from './modules.ts';

export interface ModuleLayout {
  /** Path without PEFT's prefix, such as `model.layers.0.self_attn.q_proj`. */
  path: string;
  in: number;
  out: number;
  rank: number;
  scale: number;
  /** Blocks of 4 in the padded rank. */
  rank4: number;
  /** Offsets in floats. A is [padded rank, in], B is [padded out, padded rank]. */
  aOffset: number;
  bOffset: number;
}

export interface AdapterLayout {
  modules: ModuleLayout[];
  /** Floats of each flat buffer, padding included. */
  floats: number;
  /** Trainable parameters, padding not counted. */
  parameters: number;
}

const ALIGN_FLOATS = 64;
const LARGEST_RANK = 512;

/** Expands `all-linear` and checks the names. Throws OPTION_INVALID for one that the model does not have. */
export function resolveTargets(config: ModelConfig, targets: 'all-linear' | readonly string[]): string[] {
  const known = [...targetNames(config), 'lm_head'];
  if (targets === 'all-linear') return targetNames(config).sort();
  const unknown = targets.filter((name) => !known.includes(name));
  if (unknown.length > 0 || targets.length === 0) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message:
        unknown.length > 0
          ? `The model has no linear layer named ${unknown.join(', ')}.`
          : 'No layer is chosen to be adapted.',
      fix: `Choose from: ${known.join(', ')}.`,
    });
  }
  return [...new Set(targets)].sort();
}

/** Looks a module up in a rank or alpha pattern: PEFT's keys are whole paths or their endings. */
function fromPattern(pattern: Readonly<Record<string, number>>, path: string, fallback: number): number {
  const key = Object.keys(pattern).find((candidate) => path === candidate || path.endsWith(`.${candidate}`));
  return key === undefined ? fallback : (pattern[key] ?? fallback);
}

/** Lays out the adapted modules in the order of PEFT's `named_parameters()`. */
export function layoutAdapter(config: ModelConfig, settings: LoraSettings): AdapterLayout {
  const targets = new Set(settings.targetModules);
  const found: { path: string; in: number; out: number }[] = [];
  for (let index = 0; index < config.numLayers; index++) {
    for (const { path, in: inSize, out } of layerLinears(config)) {
      if (targets.has(moduleSuffix(path)))
        found.push({ path: `${layerPrefix(config, index)}.${path}`, in: inSize, out });
    }
  }
  if (targets.has('lm_head')) found.push({ path: 'lm_head', in: config.hiddenSize, out: config.vocabSize });
  const chosen = settings.targetPaths
    ? found.filter(({ path }) => settings.targetPaths?.includes(path))
    : found;
  let floats = 0;
  let parameters = 0;
  const take = (count: number): number => {
    const offset = floats;
    floats += Math.ceil(count / ALIGN_FLOATS) * ALIGN_FLOATS;
    return offset;
  };
  const modules = chosen.map(({ path, in: inSize, out }): ModuleLayout => {
    const rank = fromPattern(settings.rankPattern, path, settings.rank);
    const alpha = fromPattern(settings.alphaPattern, path, settings.alpha);
    checkRank(rank, alpha, path);
    const rank4 = Math.ceil(rank / 4);
    parameters += rank * (inSize + out);
    const aOffset = take(rank4 * 4 * inSize);
    const bOffset = take(Math.ceil(out / 4) * 4 * rank4 * 4);
    return {
      path,
      in: inSize,
      out,
      rank,
      rank4,
      scale: alpha / (settings.rslora ? Math.sqrt(rank) : rank),
      aOffset,
      bOffset,
    };
  });
  return { modules, floats, parameters };
}

function checkRank(rank: number, alpha: number, path: string): void {
  if (Number.isInteger(rank) && rank >= 1 && rank <= LARGEST_RANK && Number.isFinite(alpha) && alpha > 0)
    return;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `Rank ${rank} with alpha ${alpha} cannot be used (${path}).`,
    fix: `Use a whole rank from 1 to ${LARGEST_RANK} and an alpha above 0.`,
  });
}

/** Copies an adapter's tensors into a flat array. Throws ADAPTER_MISMATCH when they do not fit the model. */
export function packAdapter(
  layout: AdapterLayout,
  adapter: Pick<Adapter, 'tensors'>,
): Float32Array<ArrayBuffer> {
  const flat = new Float32Array(layout.floats);
  const byName = new Map(adapter.tensors.map((tensor) => [tensor.name, tensor]));
  for (const module of layout.modules) {
    const { rank, in: inSize, out, rank4, aOffset, bOffset } = module;
    const a = takeTensor(byName, `${module.path}.lora_A.weight`, [rank, inSize]);
    const b = takeTensor(byName, `${module.path}.lora_B.weight`, [out, rank]);
    flat.set(a.data, aOffset);
    for (let o = 0; o < out; o++)
      flat.set(b.data.subarray(o * rank, (o + 1) * rank), bOffset + o * rank4 * 4);
  }
  const [extra] = byName.keys();
  if (extra !== undefined) mismatch(`It has ${extra}, which this model has not.`);
  return flat;
}

function takeTensor(
  byName: Map<string, AdapterTensor>,
  name: string,
  shape: readonly [number, number],
): AdapterTensor {
  const tensor = byName.get(name);
  if (!tensor) mismatch(`It has no ${name}.`);
  byName.delete(name);
  if (tensor.shape[0] !== shape[0] || tensor.shape[1] !== shape[1]) {
    mismatch(`Its ${name} is [${tensor.shape.join(', ')}]; this model needs [${shape.join(', ')}].`);
  }
  const bad = tensor.data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) mismatch(`Its ${name} holds a value that is not a number.`);
  return tensor;
}

function mismatch(fact: string): never {
  throw new StudioError({
    code: 'ADAPTER_MISMATCH',
    message: `The adapter does not fit this model. ${fact}`,
    fix: 'Load the model that the adapter was trained on.',
  });
}

/** Takes a flat array apart into PEFT's tensors, in the order of `named_parameters()`. */
export function unpackAdapter(layout: AdapterLayout, flat: Float32Array): AdapterTensor[] {
  return layout.modules.flatMap(
    ({ path, rank, rank4, in: inSize, out, aOffset, bOffset }): AdapterTensor[] => {
      const b = new Float32Array(out * rank);
      for (let o = 0; o < out; o++)
        b.set(flat.subarray(bOffset + o * rank4 * 4, bOffset + o * rank4 * 4 + rank), o * rank);
      return [
        {
          name: `${path}.lora_A.weight`,
          shape: [rank, inSize],
          data: flat.slice(aOffset, aOffset + rank * inSize),
        },
        { name: `${path}.lora_B.weight`, shape: [out, rank], data: b },
      ];
    },
  );
}
