/** The one GPU device of the worker: asked for once, and anew after it was lost. */
import { describeAdapter, requestEngineDevice, type DeviceInfo } from '../src/engine/index.ts';
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

/** A device with what is known of its adapter. */
export interface OpenGpu {
  device: GPUDevice;
  info: DeviceInfo;
}

export class EngineGpu {
  #open: Promise<OpenGpu> | null = null;
  readonly #onLost: () => void;

  /** `onLost` is called when the browser or the driver took the device away. */
  constructor(onLost: () => void) {
    this.#onLost = onLost;
  }

  /** What this browser can do. */
  async capability(): Promise<Capability> {
    let gpu: Capability['gpu'] = null;
    try {
      gpu = describeAdapter(await findAdapter());
      await this.open();
      return { gpu, error: null };
    } catch (error) {
      return { gpu, error: toErrorFields(error) };
    }
  }

  /** The device, the same one until it is lost. Throws GPU_UNAVAILABLE or GPU_LIMIT. */
  async open(): Promise<OpenGpu> {
    this.#open ??= this.#request();
    try {
      return await this.#open;
    } catch (error) {
      // A driver may be back the next time.
      this.#open = null;
      throw error;
    }
  }

  async #request(): Promise<OpenGpu> {
    const adapter = await findAdapter();
    const device = await requestEngineDevice(adapter);
    void device.lost.then(({ reason }) => {
      if (reason === 'destroyed') return;
      this.#open = null;
      this.#onLost();
    });
    return { device, info: describeAdapter(adapter) };
  }

  /** Gives the device back. */
  async dispose(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    (await open?.catch(() => null))?.device.destroy();
  }
}
