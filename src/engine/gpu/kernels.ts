/** Compiles kernels once per (file, prelude, constants). The only place that makes shader modules and pipelines. */
import { StudioError } from '../../errors.ts';
import { kernelSource, type KernelSource, type Prelude } from './wgsl.ts';

export interface KernelSpec {
  /** File name in `shaders/` without the ending. */
  name: string;
  prelude?: Prelude;
  /** Values of `override` declarations. */
  constants?: Readonly<Record<string, number>>;
}

export interface Kernel {
  pipeline: GPUComputePipeline;
  source: KernelSource;
}

export class KernelCache {
  readonly #device: GPUDevice;
  readonly #modules = new Map<string, Promise<{ module: GPUShaderModule; source: KernelSource }>>();
  readonly #kernels = new Map<string, Promise<Kernel>>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** The source alone: bindings and params, without compiling. */
  source(spec: KernelSpec): KernelSource {
    return kernelSource(spec.name, spec.prelude);
  }

  /** The compiled kernel. Throws SHADER_INVALID with the compiler's messages. */
  get(spec: KernelSpec): Promise<Kernel> {
    const key = JSON.stringify([spec.name, spec.prelude ?? {}, sortedEntries(spec.constants ?? {})]);
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      kernel = this.#compile(spec);
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  async #compile(spec: KernelSpec): Promise<Kernel> {
    const { module, source } = await this.#module(spec);
    const pipeline = await this.#device.createComputePipelineAsync({
      label: spec.name,
      layout: 'auto',
      compute: { module, entryPoint: 'main', ...(spec.constants ? { constants: spec.constants } : {}) },
    });
    return { pipeline, source };
  }

  #module(spec: KernelSpec): Promise<{ module: GPUShaderModule; source: KernelSource }> {
    const key = JSON.stringify([spec.name, spec.prelude ?? {}]);
    let entry = this.#modules.get(key);
    if (!entry) {
      entry = this.#createModule(spec);
      this.#modules.set(key, entry);
    }
    return entry;
  }

  async #createModule(spec: KernelSpec): Promise<{ module: GPUShaderModule; source: KernelSource }> {
    const source = this.source(spec);
    const module = this.#device.createShaderModule({ label: spec.name, code: source.code });
    const { messages } = await module.getCompilationInfo();
    if (messages.length > 0) {
      const text = messages.map((m) => `${m.type} at ${m.lineNum}:${m.linePos}: ${m.message}`).join('; ');
      throw new StudioError({
        code: 'SHADER_INVALID',
        message: `The kernel ${spec.name} does not compile cleanly on this GPU: ${text}`,
        fix: 'Update the browser or the graphics driver; if that does not help, please report it.',
      });
    }
    return { module, source };
  }
}

/** Entries in the order of their names, so that equal constants give equal keys. */
function sortedEntries(constants: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(constants).sort(([a], [b]) => (a < b ? -1 : 1));
}
