/** The one GPU device of the worker: asked for once, and anew after it was lost. */
import { describeAdapter, requestEngineDevice } from '../src/engine/index.ts';
import { StudioError, toErrorFields } from '../src/errors.ts';
import type { Capability } from './api.ts';

function unavailable(message: string, fix: string): StudioError {
  return new StudioError({ code: 'GPU_UNAVAILABLE', message, fix });
}

/** The browser's adapter. Throws GPU_UNAVAILABLE with the reason why there is none. */
async function findAdapter(): Promise<GPUAdapter> {
  // Absent in browsers without WebGPU, whatever the types say.
  const { gpu }: { gpu?: GPU } = navigator;
  if (!self.isSecureContext) {
    throw unavailable(
      `Training needs a GPU, and the browser offers none to ${self.location.origin}, which is not a secure address.`,
      'Open the studio by https, or on this computer as http://127.0.0.1.',
    );
  }
  if (gpu === undefined) {
    throw unavailable(
      'Training needs WebGPU, and this browser does not have it.',
      'Use a current Chrome or Edge, Safari 26, or Firefox on Windows or a Mac. Data can be looked at here all the same.',
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter !== null) return adapter;
  throw unavailable(
    'Training needs a GPU, and this browser found none that it may use.',
    'Update the browser and the graphics driver, and check that the browser uses hardware acceleration. Data can be looked at here all the same.',
  );
}

export class EngineGpu {
  #device: Promise<GPUDevice> | null = null;
  #name = '';
  readonly #onLost: () => void;

  /** `onLost` is called when the browser or the driver took the device away. */
  constructor(onLost: () => void) {
    this.#onLost = onLost;
  }

  /** Name of the adapter that computes; empty before there is one. */
  get name(): string {
    return this.#name;
  }

  /** What this browser can do. */
  async capability(): Promise<Capability> {
    let gpu: Capability['gpu'] = null;
    try {
      gpu = describeAdapter(await findAdapter());
      await this.device();
      return { gpu, error: null };
    } catch (error) {
      return { gpu, error: toErrorFields(error) };
    }
  }

  /** The device, the same one until it is lost. Throws GPU_UNAVAILABLE or GPU_LIMIT. */
  async device(): Promise<GPUDevice> {
    this.#device ??= this.#request();
    try {
      return await this.#device;
    } catch (error) {
      // A driver may be back the next time.
      this.#device = null;
      throw error;
    }
  }

  async #request(): Promise<GPUDevice> {
    const adapter = await findAdapter();
    this.#name = describeAdapter(adapter).name;
    const device = await requestEngineDevice(adapter);
    void device.lost.then(({ reason }) => {
      if (reason === 'destroyed') return;
      this.#device = null;
      this.#onLost();
    });
    return device;
  }

  /** Gives the device back. */
  async dispose(): Promise<void> {
    const device = this.#device;
    this.#device = null;
    (await device?.catch(() => null))?.destroy();
  }
}
