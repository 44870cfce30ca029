/** What the test page runs in Chromium: one parity case on the browser's own WebGPU. Tests only. */
import { requestEngineDevice, describeAdapter } from '../gpu/device.ts';
import { measureParity, PARITY_FILES, type ParityFigures } from './parity.ts';

export const inBrowser = {
  async parity(name: string): Promise<{ adapter: string; errors: string[]; figures: ParityFigures }> {
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter) throw new Error('No WebGPU adapter in this browser.');
    const device = await requestEngineDevice(adapter);
    const errors: string[] = [];
    device.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
    const files = new Map(
      await Promise.all(
        PARITY_FILES.map(async (path) => {
          const response = await fetch(`/e2e/fixtures/parity/${name}/${path}`);
          if (!response.ok) throw new Error(`${path}: ${response.status}`);
          return [path, new Uint8Array(await response.arrayBuffer())] as const;
        }),
      ),
    );
    const figures = await measureParity(device, files);
    device.destroy();
    return { adapter: describeAdapter(adapter).name, errors, figures };
  },
};

Object.assign(globalThis, { inBrowser });
